"""Character devices below a device root; or, for a rack without root, marked plain files that stand for them."""

import errno
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from nvdra.errors import Again, Refused
from nvdra.node import DeviceNode

FOLDER_MODE: Final = 0o755
_STAND_IN: Final = re.compile(rb"nvdra stand-in for c (\d+) (\d+)\n")
_STAND_IN_SIZE: Final = 80


@frozen
class DiskDeviceNodes:
    """ports.DeviceNodes. `root` is where `/` of the node is seen; `plain_files` makes stand-ins without any right."""

    root: Path = Path("/")
    plain_files: bool = False

    def missing(self, nodes: Sequence[DeviceNode]) -> Sequence[DeviceNode]:
        """Those that are absent, or are there with another number."""
        return tuple(node for node in nodes if device_number(self._path(node)) != (node.major, node.minor))

    def make(self, nodes: Sequence[DeviceNode]) -> None:
        """Make them; Refused where the kernel does not allow it. What is there with another number is replaced."""
        for node in nodes:
            self._make(node, self._path(node))

    def remove(self, nodes: Sequence[DeviceNode]) -> None:
        """Make them be gone. Whatever has another number there is somebody else's, and stays."""
        for node in nodes:
            path = self._path(node)
            if device_number(path) != (node.major, node.minor):
                continue
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise Again(f"cannot remove the device node {path}: {error.strerror}") from error

    def _path(self, node: DeviceNode) -> Path:
        if not node.path.startswith("/") or ".." in Path(node.path).parts:
            raise Refused(f"{node.path!r} is no path of a device node: it must be absolute and without ..")
        return self.root / node.path.lstrip("/")

    def _make(self, node: DeviceNode, path: Path) -> None:
        # Made aside and renamed: a node of the wrong number is never absent between, and a crash leaves no half one.
        aside = path.with_name(f".{path.name}.tmp")
        try:
            path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            aside.unlink(missing_ok=True)
            self._make_aside(node, aside)
            aside.chmod(node.mode)  # mknod obeys the umask
            aside.replace(path)
        except PermissionError as error:
            raise _not_allowed(node, path, error) from error
        except OSError as error:
            raise Again(f"cannot make the device node {path}: {error.strerror}") from error

    def _make_aside(self, node: DeviceNode, aside: Path) -> None:
        if self.plain_files:
            aside.write_bytes(f"nvdra stand-in for c {node.major} {node.minor}\n".encode())
            return
        os.mknod(aside, stat.S_IFCHR | node.mode, os.makedev(node.major, node.minor))


def device_number(path: Path) -> tuple[int, int] | None:
    """Major and minor of the character device, or of a plain file that stands for one; None where neither is."""
    try:
        status = path.stat()
        if stat.S_ISCHR(status.st_mode):
            return os.major(status.st_rdev), os.minor(status.st_rdev)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _STAND_IN_SIZE:
            return None
        mark = _STAND_IN.fullmatch(path.read_bytes())
    except OSError:
        return None
    return (int(mark[1]), int(mark[2])) if mark else None


def _not_allowed(node: DeviceNode, path: Path, error: PermissionError) -> Refused:
    if error.errno == errno.EACCES:
        return Refused(
            f"cannot make {path}: no write permission in {path.parent}; run as root with the device root writable",
            reason="DeviceNodeRefused",
        )
    return Refused(
        f"the kernel does not allow mknod c {node.major} {node.minor} at {path}: the container needs the capability "
        "MKNOD (privileged: true, or capabilities.add: [MKNOD]), outside of a user namespace",
        reason="DeviceNodeRefused",
    )
