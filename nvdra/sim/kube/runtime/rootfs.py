"""A container's file system: one folder, with links where a real runtime would bind mounts."""

import os
import shutil
import stat
from pathlib import Path
from typing import Final

from attrs import frozen

from nvdra.sim.kube.runtime.cdi import Injection, Json
from nvdra.sim.kube.runtime.devnode import CharDevice, look_at, make

_HOSTS: Final = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""
_DEVICE_MODE: Final = 0o660


class CannotCreateError(Exception):
    """The runtime refuses to create the container; the text is its reason."""


@frozen
class Mount:
    """A real path that a container sees at another."""

    host: Path
    container: str


def inside(rootfs: Path, path: str) -> Path:
    """Where a path of the container is on this machine; `..` does not lead out."""
    return rootfs / os.path.normpath(f"/{path}").lstrip("/")


def on_host(node_root: Path, path: str) -> Path:
    """Where a path of the node is on this machine; one that lies below the node's root already stays as it is."""
    given = Path(os.path.normpath(path))
    return given if given.is_relative_to(node_root) else node_root / str(given).lstrip("/")


def prepare(rootfs: Path, pod_ip: str, host_name: str, domain_name: str = "") -> None:
    """An empty rootfs with what every container has."""
    shutil.rmtree(rootfs, ignore_errors=True)
    for folder in ("etc", "dev", "tmp", "run", "var/log", "var/run"):
        (rootfs / folder).mkdir(parents=True, exist_ok=True)
    full = f"{domain_name}\t{host_name}" if domain_name else host_name
    (rootfs / "etc/hosts").write_text(f"{_HOSTS}{pod_ip}\t{full}\n")
    (rootfs / "etc/hostname").write_text(f"{host_name}\n")
    (rootfs / "dev/termination-log").write_text("")


def mount(rootfs: Path, what: Mount) -> None:
    """Show a real path in the container; CannotCreateError when it is not there."""
    if not what.host.exists():
        raise CannotCreateError(f"failed to mount {what.host} at {what.container}: no such file or directory")
    target = inside(rootfs, what.container)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)
    target.symlink_to(what.host)


def inject(rootfs: Path, node_root: Path, injection: Injection) -> None:
    """Apply CDI mounts and device nodes."""
    for entry in sorted(injection.mounts, key=lambda m: str(m["containerPath"])):
        mount(rootfs, Mount(on_host(node_root, entry["hostPath"]), entry["containerPath"]))
    for node in injection.device_nodes:
        device, mode = _device(node_root, node)
        make(inside(rootfs, node["path"]), device, mode)


def _device(node_root: Path, node: Json) -> tuple[CharDevice, int]:
    """Numbers and mode as the CDI file gives them, the rest as the node's own device has them."""
    if node.get("type") not in {None, "", "c", "u"}:
        raise CannotCreateError(f"CDI device node {node['path']} has type {node['type']!r}; the rack makes only c")
    source = on_host(node_root, node.get("hostPath") or node["path"])
    host = look_at(source)
    mode = stat.S_IMODE(source.stat().st_mode) if host else _DEVICE_MODE
    if node.get("fileMode") is not None:
        mode = int(node["fileMode"]) & 0o7777
    if node.get("major") is not None:
        return CharDevice(int(node["major"]), int(node.get("minor") or 0)), mode
    if host is None:
        raise CannotCreateError(f'CDI device injection failed: failed to stat CDI host device "{source}"')
    return CharDevice(host.major, host.minor), mode
