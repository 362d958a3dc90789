"""Container Device Interface as containerd reads it: all spec files of the node, at every container creation."""

import json
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from attrs import frozen

_log = logging.getLogger(__name__)
_VERSIONS: Final = frozenset({f"0.{n}.0" for n in range(3, 9)} | {"1.0.0", "1.1.0"})
_TOP: Final = frozenset({"cdiVersion", "kind", "annotations", "devices", "containerEdits"})
_DEVICE: Final = frozenset({"name", "annotations", "containerEdits"})
_EDITS: Final = frozenset({"env", "deviceNodes", "mounts", "hooks", "additionalGids", "intelRdt", "netDevices"})
_KIND: Final = re.compile(r"[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?/[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_DEVICE_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?")
Json = dict[str, Any]


class UnresolvableDevicesError(Exception):
    """Some CDI ids name no device; the text is containerd's."""

    def __init__(self, ids: Iterable[str]) -> None:
        super().__init__(f"CDI device injection failed: unresolvable CDI devices {', '.join(ids)}")


@frozen
class Spec:
    """One valid spec file."""

    path: Path
    kind: str
    devices: dict[str, Json]
    edits: Json


@frozen
class Injection:
    """What is to be added to a container: merged containerEdits."""

    env: tuple[str, ...] = ()
    device_nodes: tuple[Json, ...] = ()
    mounts: tuple[Json, ...] = ()


def resolve(folders: Sequence[Path], ids: Sequence[str]) -> Injection:
    """The edits for these CDI ids; a later folder overrides an earlier one, a device twice in one is unusable."""
    found: dict[str, tuple[Spec, Json]] = {}
    for folder in folders:
        found |= _unique(_specs(folder))
    wanted = list(dict.fromkeys(ids))
    missing = [one for one in wanted if one not in found]
    if missing:
        raise UnresolvableDevicesError(missing)
    edits = [found[one][1] for one in wanted]
    edits += {found[one][0].path: found[one][0].edits for one in wanted}.values()
    return Injection(
        env=tuple(e for one in edits for e in one.get("env") or ()),
        device_nodes=tuple(e for one in edits for e in one.get("deviceNodes") or ()),
        mounts=tuple(e for one in edits for e in one.get("mounts") or ()),
    )


def _unique(specs: Iterable[Spec]) -> dict[str, tuple[Spec, Json]]:
    found: dict[str, tuple[Spec, Json]] = {}
    conflicting = set()
    for spec in specs:
        for name, edits in spec.devices.items():
            full = f"{spec.kind}={name}"
            if full in found:
                conflicting.add(full)
            found[full] = (spec, edits)
    return {full: known for full, known in found.items() if full not in conflicting}


def _specs(folder: Path) -> Iterable[Spec]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.suffix not in {".json", ".yaml"}:
            continue
        try:
            yield _parse(path)
        except (OSError, ValueError, yaml.YAMLError) as error:
            _log.warning("CDI file %s is not used: %s", path, error)


def _parse(path: Path) -> Spec:
    text = path.read_text()
    raw = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    _only(raw, _TOP, "the file")
    if raw.get("cdiVersion") not in _VERSIONS:
        raise ValueError(f"cdiVersion {raw.get('cdiVersion')!r} is not known")
    if not _KIND.fullmatch(str(raw.get("kind"))):
        raise ValueError(f"kind {raw.get('kind')!r} is not vendor/class")
    devices = {}
    for device in raw.get("devices") or ():
        _only(device, _DEVICE, "a device")
        if not _DEVICE_NAME.fullmatch(str(device.get("name"))):
            raise ValueError(f"device name {device.get('name')!r} is not allowed")
        devices[device["name"]] = _edits(device.get("containerEdits") or {})
    if not devices:
        raise ValueError("it has no devices")
    return Spec(path, raw["kind"], devices, _edits(raw.get("containerEdits") or {}))


def _edits(raw: Json) -> Json:
    _only(raw, _EDITS, "containerEdits")
    for entry in raw.get("env") or ():
        if "=" not in entry:
            raise ValueError(f"env {entry!r} is not NAME=value")
    for node in raw.get("deviceNodes") or ():
        if not node.get("path"):
            raise ValueError("a device node has no path")
    for mount in raw.get("mounts") or ():
        if not mount.get("hostPath") or not mount.get("containerPath"):
            raise ValueError("a mount needs hostPath and containerPath")
    return raw


def _only(raw: Any, known: frozenset[str], what: str) -> None:
    unknown = sorted(set(raw) - known) if isinstance(raw, dict) else ["that is no object"]
    if unknown:
        raise ValueError(f"{what} has unknown field(s) {', '.join(unknown)}")
