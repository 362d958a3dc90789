"""CDI files, one a claim: what the container runtime adds to a container that names the claim's devices.

JSON, which every CDI reader takes; the lowest cdiVersion that the content needs, for old runtimes refuse newer ones.
A claim's uid is in its devices' names: a runtime may still have an earlier file of another claim in mind.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from nvdra.adapters.files import DiskFiles
from nvdra.errors import Refused
from nvdra.node import CdiSpec, DeviceNode, Edits, Mount
from nvdra.ports import Folders

_NAME: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_DEVICE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?")
_CLAIM: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,126}[A-Za-z0-9])?")
_SUFFIX: Final = ".json"
CLAIM_KIND: Final = "k8s.compute-domain.nvidia.com/claim"


@frozen
class CdiFolder:
    """ports.Cdi over one folder, such as /var/run/cdi."""

    folder: Path
    files: Folders = field(factory=DiskFiles)

    def read(self, kind: str, claim_uid: str) -> CdiSpec | None:
        """The claim's file as it is on disk; None when absent or not exactly of our making."""
        content = self.files.read(self.path(kind, claim_uid))
        if content is None:
            return None
        try:
            found = json.loads(content)
            spec = _decode(found)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        # Whatever else is in there, a runtime would obey it: only what we would write ourselves counts.
        return spec if spec.kind == kind and encode(spec) == found else None

    def write(self, spec: CdiSpec, claim_uid: str) -> None:
        """Make the claim's file be exactly this; Refused when no runtime would accept it."""
        faults = faults_of(spec)
        if faults:
            raise Refused(f"no CDI file for claim uid {claim_uid}: {'; '.join(faults)}", reason="InvalidCdiSpec")
        content = json.dumps(encode(spec), separators=(",", ":")).encode()
        self.files.write(self.path(spec.kind, claim_uid), content + b"\n")

    def remove(self, kind: str, claim_uid: str) -> None:
        """Make the claim's file be gone."""
        self.files.remove(self.path(kind, claim_uid))

    def claims(self, kind: str = CLAIM_KIND) -> set[str]:
        """Uids of all claims that have a file, whatever is in it: for sweeping those of vanished claims."""
        prefix = _prefix(kind)
        names = [name for name in self.files.names(self.folder) if name.startswith(prefix) and name.endswith(_SUFFIX)]
        uids = {name.removeprefix(prefix).removesuffix(_SUFFIX) for name in names}
        return {uid for uid in uids if _CLAIM.fullmatch(uid)}

    def path(self, kind: str, claim_uid: str) -> Path:
        """Where the claim's file is."""
        if not _CLAIM.fullmatch(claim_uid):
            raise Refused(f"{claim_uid!r} is no uid of a claim: letters, digits and dashes only", reason="InvalidClaim")
        return self.folder / f"{_prefix(kind)}{claim_uid}{_SUFFIX}"


def qualified(kind: str, device: str) -> str:
    """The id that the kubelet hands to the runtime."""
    return f"{kind}={device}"


def _prefix(kind: str) -> str:
    vendor, slash, class_ = kind.partition("/")
    if not slash or not _NAME.fullmatch(vendor) or not _NAME.fullmatch(class_):
        raise Refused(f"{kind!r} is no kind of CDI devices: vendor/class, each of A-Z a-z 0-9 _ . -")
    return f"{vendor}-{class_}_"


def faults_of(spec: CdiSpec) -> list[str]:
    """What a CDI reader would refuse; one faulty entry makes it drop the whole file."""
    faults = [] if spec.devices else ["it has no devices"]
    for name, edits in {"": spec.edits, **spec.devices}.items():
        if name and not _DEVICE.fullmatch(name):
            faults.append(f"device name {name!r}")
        if name and edits == Edits():
            faults.append(f"device {name} has no edits")
        faults += [f"environment entry {entry!r}" for entry in edits.env if entry.find("=") < 1]
        faults += [f"device node path {node.path!r}" for node in edits.device_nodes if not node.path.startswith("/")]
        for mount in edits.mounts:
            if not mount.host_path.startswith("/") or not mount.container_path.startswith("/"):
                faults.append(f"mount {mount.host_path!r} at {mount.container_path!r}")
    if "" in spec.devices:
        faults.append("device name ''")
    return faults


def encode(spec: CdiSpec) -> dict[str, Any]:
    """The file's content."""
    content: dict[str, Any] = {
        "cdiVersion": _version(spec),
        "kind": spec.kind,
        "devices": [{"name": name, "containerEdits": _edits(edits)} for name, edits in spec.devices.items()],
    }
    if spec.edits != Edits():
        content["containerEdits"] = _edits(spec.edits)
    return content


def _version(spec: CdiSpec) -> str:
    """The lowest that allows the names: a dot in the class, a digit first in a device's (as uids may have)."""
    if "." in spec.kind.partition("/")[2]:
        return "0.6.0"
    return "0.5.0" if any(name[:1].isdigit() for name in spec.devices) else "0.3.0"


def _edits(edits: Edits) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "env": list(edits.env),
        "deviceNodes": [
            {"path": n.path, "type": "c", "major": n.major, "minor": n.minor, "fileMode": n.mode}
            for n in edits.device_nodes
        ],
        "mounts": [
            {"hostPath": m.host_path, "containerPath": m.container_path, "options": list(m.options)}
            for m in edits.mounts
        ],
    }
    return {key: value for key, value in wanted.items() if value}


def _decode(found: dict[str, Any]) -> CdiSpec:
    devices = {device["name"]: _decode_edits(device["containerEdits"]) for device in found["devices"]}
    return CdiSpec(kind=found["kind"], devices=devices, edits=_decode_edits(found.get("containerEdits", {})))


def _decode_edits(found: dict[str, Any]) -> Edits:
    return Edits(
        env=tuple(found.get("env", ())),
        device_nodes=tuple(
            DeviceNode(path=n["path"], major=n["major"], minor=n["minor"], mode=n["fileMode"])
            for n in found.get("deviceNodes", ())
        ),
        mounts=tuple(
            Mount(host_path=m["hostPath"], container_path=m["containerPath"], options=tuple(m["options"]))
            for m in found.get("mounts", ())
        ),
    )
