"""A node's disk in memory: what is written is synced and survives every process; /run and /dev end with the boot."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import define, field, frozen

from nvdra.errors import Again
from nvdra.node import DeviceNode
from nvdra.sim.storm.fate import Odds

LOST_AT_BOOT = ("/var/run/", "/dev/")
DISK_ODDS: Odds = {"disk-before": 0.006, "disk-after": 0.004, "die-before": 0.003, "die-after": 0.003}


@define(eq=False)
class Disk:
    """Files and device nodes. `changed` is called after each change, with the path."""

    files: dict[str, bytes] = field(factory=dict)
    devices: dict[str, tuple[int, int]] = field(factory=dict)
    changed: Callable[[str], None] = lambda _: None
    removed: dict[str, int] = field(factory=dict)
    """How often a folder was removed: a mount of it from before shows nothing any more."""

    def put(self, path: str, content: bytes) -> None:
        """A whole file, at once."""
        self.files[path] = content
        self.changed(path)

    def drop(self, path: str) -> None:
        """A file, or a folder with all that is in it."""
        self.removed[path] = self.removed.get(path, 0) + 1
        gone = [file for file in self.files if file == path or file.startswith(f"{path}/")]
        for file in gone:
            del self.files[file]
        if gone:
            self.changed(path)

    def boot(self) -> None:
        """Power was off: what lived in memory only is gone."""
        for path in [path for path in self.files if path.startswith(LOST_AT_BOOT)]:
            del self.files[path]
        self.devices.clear()

    def below(self, folder: str) -> list[str]:
        """Names right below a folder, in order."""
        prefix = f"{folder.rstrip('/')}/"
        return sorted({file[len(prefix) :].partition("/")[0] for file in self.files if file.startswith(prefix)})


class Grip:
    """A process's hold on the world outside of it: asked before each act, it may fail, or end the process."""

    def fate(self, site: str, odds: Odds) -> str:
        """What goes wrong with this act."""
        raise NotImplementedError

    def check(self) -> None:
        """Raises when the process is dead: nothing that it still does has any effect."""
        raise NotImplementedError

    def die(self) -> None:
        """End the process, here and now."""
        raise NotImplementedError

    def act(self, site: str, odds: Odds, work: Callable[[], None]) -> None:
        """Do one synchronous thing to the node, or fail at it, before or after it took effect."""
        self.check()
        fate = self.fate(site, odds)
        if fate == "disk-before":
            raise Again(f"{site}: no space left on device")
        if fate == "die-before":
            self.die()
            raise asyncio.CancelledError
        work()
        if fate == "disk-after":
            raise Again(f"{site}: input/output error")
        if fate == "die-after":
            self.die()
            raise asyncio.CancelledError


@frozen(eq=False)
class DiskView:
    """ports.Folders as one process sees the disk. `mounts`: longest prefixes first, from its paths to the node's."""

    disk: Disk
    grip: Grip
    mounts: Mapping[str, str] = field(factory=dict)
    odds: Odds = field(factory=lambda: DISK_ODDS)
    _mounted: dict[str, int] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._mounted.update({outside: self.disk.removed.get(outside, 0) for outside in self.mounts.values()})

    def read(self, path: Path) -> bytes | None:
        """The content, or None when there is no such file."""
        self.grip.check()
        return self.disk.files.get(self._place(path))

    def write(self, path: Path, content: bytes) -> None:
        """Whole and synced, or not at all."""
        self.grip.act(f"write {path.parent.name}", self.odds, lambda: self.disk.put(self._place(path), content))

    def overwrite(self, path: Path, content: bytes) -> None:
        """In place."""
        self.write(path, content)

    def remove(self, path: Path) -> None:
        """Gone afterwards; already gone is success."""
        self.grip.act(f"remove {path.parent.name}", self.odds, lambda: self.disk.drop(self._place(path)))

    def names(self, folder: Path) -> Sequence[str]:
        """What is in a folder, in order."""
        self.grip.check()
        return self.disk.below(self._place(folder))

    def move(self, path: Path, target: Path) -> None:
        """Rename a file within its folder."""
        self.grip.check()
        self.disk.files[self._place(target)] = self.disk.files.pop(self._place(path))
        self.disk.changed(self._place(target))

    def _place(self, path: Path) -> str:
        text = str(path)
        for inside, outside in self.mounts.items():
            if text == inside or text.startswith(f"{inside}/"):
                if self._mounted[outside] != self.disk.removed.get(outside, 0):
                    raise Again(f"cannot open {path}: the folder that was mounted there is gone")
                return f"{outside}{text[len(inside) :]}"
        return text


@frozen(eq=False)
class Devices:
    """node.DeviceNodes in memory."""

    disk: Disk
    grip: Grip

    def missing(self, nodes: Sequence[DeviceNode]) -> Sequence[DeviceNode]:
        """Those that are absent, or are there with another number."""
        self.grip.check()
        return tuple(node for node in nodes if self.disk.devices.get(node.path) != (node.major, node.minor))

    def make(self, nodes: Sequence[DeviceNode]) -> None:
        """Make them."""
        for node in nodes:
            self.grip.act("mknod", DISK_ODDS, lambda node=node: self._make(node))  # type: ignore[misc]  # bound now

    def remove(self, nodes: Sequence[DeviceNode]) -> None:
        """Make them be gone, where they are the ones."""
        for node in nodes:
            if self.disk.devices.get(node.path) == (node.major, node.minor):
                self.grip.act("unlink node", DISK_ODDS, lambda node=node: self._drop(node))  # type: ignore[misc]

    def _make(self, node: DeviceNode) -> None:
        self.disk.devices[node.path] = (node.major, node.minor)
        self.disk.changed(node.path)

    def _drop(self, node: DeviceNode) -> None:
        del self.disk.devices[node.path]
        self.disk.changed(node.path)
