"""`ls` as GNU prints it in the C locale, from a real look at the files."""

import grp
import os
import pwd
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from nvdra.sim.kube.runtime.devnode import look_at

_HALF_YEAR: Final = 31556952 / 2


@frozen
class Entry:
    """One line to be: the name as it is shown, and what lstat said."""

    shown: str
    path: Path
    seen: os.stat_result

    @property
    def device(self) -> bool:
        """It has major and minor instead of a size."""
        return stat.S_ISCHR(self.seen.st_mode) or stat.S_ISBLK(self.seen.st_mode)


def ls(path: Path, shown: str, *, hidden: bool, long: bool) -> list[str]:
    """The lines for one operand; OSError when it is not there."""
    if not path.is_dir() or (long and path.is_symlink() and not shown.endswith("/")):
        entries = [Entry(shown, path, path.lstat())]
        return _long(entries) if long else [shown]
    names = sorted((one.name for one in path.iterdir()), key=os.fsencode)
    names = sorted([".", "..", *names], key=os.fsencode) if hidden else [n for n in names if not n.startswith(".")]
    entries = [Entry(name, path / name, (path / name).lstat()) for name in names]
    if not long:
        return names
    blocks = sum(entry.seen.st_blocks for entry in entries)
    return [f"total {(blocks + 1) // 2}", *_long(entries)]


def stand_ins(path: Path) -> list[str]:
    """A sentence for each marked plain file there: what it stands for, and why it is not the real thing."""
    found = [path] if not path.is_dir() else sorted(path.iterdir())
    return [
        f"({one.name} stands for {device}: this rack runs without root, where mknod is refused)"
        for one in found
        if (device := look_at(one)) is not None and device.stands_in
    ]


def _long(entries: Sequence[Entry]) -> list[str]:
    rows = [_columns(entry) for entry in entries]
    major = max((len(str(os.major(e.seen.st_rdev))) for e in entries if e.device), default=0)
    minor = max((len(str(os.minor(e.seen.st_rdev))) for e in entries if e.device), default=0)
    sizes = [len(str(e.seen.st_size)) for e in entries if not e.device]
    wide = max([*sizes, major + 2 + minor if major else 0])
    links, owner, group = (max(len(row[i]) for row in rows) for i in (1, 2, 3))
    lines = []
    for entry, row in zip(entries, rows, strict=True):
        size = _size(entry, wide, minor)
        lines.append(f"{row[0]} {row[1]:>{links}} {row[2]:<{owner}} {row[3]:<{group}} {size} {row[4]} {row[5]}")
    return lines


def _size(entry: Entry, wide: int, minor: int) -> str:
    if not entry.device:
        return f"{entry.seen.st_size:>{wide}}"
    number = entry.seen.st_rdev
    return f"{os.major(number):>{wide - 2 - minor}}, {os.minor(number):>{minor}}"


def _columns(entry: Entry) -> tuple[str, str, str, str, str, str]:
    seen = entry.seen
    name = entry.shown
    if stat.S_ISLNK(seen.st_mode):
        name = f"{name} -> {entry.path.readlink()}"
    return stat.filemode(seen.st_mode), str(seen.st_nlink), _user(seen.st_uid), _group(seen.st_gid), _when(seen), name


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _when(seen: os.stat_result) -> str:
    now = time.time()
    recent = now - _HALF_YEAR < seen.st_mtime <= now
    moment = time.localtime(seen.st_mtime)
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[moment.tm_mon - 1]
    rest = f"{moment.tm_hour:02}:{moment.tm_min:02}" if recent else f" {moment.tm_year}"
    return f"{month} {moment.tm_mday:>2} {rest}"
