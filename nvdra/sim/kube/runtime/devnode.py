"""Character devices in a rootfs: made with mknod, or marked plain files where the kernel does not allow it."""

import os
import re
import stat
from pathlib import Path
from typing import Final

from attrs import frozen

_MARK: Final = re.compile(rb"nvdra stand-in for c (\d+) (\d+)\n")
_MARK_LENGTH: Final = 80


@frozen
class CharDevice:
    """A character device, or what stands for one."""

    major: int
    minor: int
    stands_in: bool = False

    def __str__(self) -> str:
        return f"c {self.major} {self.minor}"


def look_at(path: Path) -> CharDevice | None:
    """The device at a path (links are followed), None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    if stat.S_ISCHR(found.st_mode):
        return CharDevice(os.major(found.st_rdev), os.minor(found.st_rdev))
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MARK_LENGTH:
        return None
    match = _MARK.fullmatch(path.read_bytes())
    return CharDevice(int(match[1]), int(match[2]), stands_in=True) if match else None


def make(path: Path, device: CharDevice, mode: int) -> CharDevice:
    """Make the device, or its stand-in; says which it became."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    try:
        os.mknod(path, mode | stat.S_IFCHR, os.makedev(device.major, device.minor))
        made = CharDevice(device.major, device.minor)
    except PermissionError:
        path.write_bytes(f"nvdra stand-in for c {device.major} {device.minor}\n".encode())
        made = CharDevice(device.major, device.minor, stands_in=True)
    path.chmod(mode)
    return made
