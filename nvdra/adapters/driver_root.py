"""Where the NVIDIA driver lives on this node, and what a container needs of it.

A driver root is a whole file system (`/`, or `/run/nvidia/driver` of a driver container). We see it at one path, the
container runtime at another. Nothing is remembered: a driver may be installed after us (#1008, #1009).
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

from attrs import field, frozen

from nvdra.adapters.devnodes import device_number
from nvdra.errors import Again, Refused
from nvdra.node import DeviceNode, Edits, Mount

LIBRARY_FOLDERS: Final = (
    "/",
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
)
BINARY_FOLDERS: Final = ("/", "/opt/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin")
NVML_LIBRARY: Final = "libnvidia-ml.so.1"
IMEX: Final = "nvidia-imex"
DAEMON_BINARIES: Final = (IMEX, "nvidia-imex-ctl", "nvidia-smi")
DAEMON_LIBRARIES: Final = ("libnvidia-*.so*", "libcuda.so*")
READ_ONLY: Final = ("ro", "nosuid", "nodev", "bind")
NO_DEVICES: Final = "NVIDIA_VISIBLE_DEVICES=void"
"""Keeps the NVIDIA container runtime, where there is one, from adding devices of its own."""

_DEVICE_PATTERNS: Final = ("nvidia*", "nvidia-caps/*")
"""Not the channels: the daemon needs none, and there may be 2048."""
_MAX_LINKS: Final = 40
_DEVICE_MODE: Final = 0o777


@frozen
class Found:
    """A file of the driver: the name that was asked for, and the regular file behind it, both as seen from the root."""

    name: PurePosixPath
    target: PurePosixPath


@frozen
class DriverRoot:
    """The root as we see it, and as the host does (CDI files speak of the host)."""

    seen: Path
    on_host: PurePosixPath = field(default=PurePosixPath("/"))

    def library(self, name: str) -> Path | None:
        """The regular file behind a library's name, at our path."""
        return self._first(LIBRARY_FOLDERS, name)

    def binary(self, name: str) -> Path | None:
        """The regular file behind a program's name, at our path."""
        return self._first(BINARY_FOLDERS, name)

    def files(self, folders: tuple[str, ...], pattern: str) -> Iterator[Found]:
        """Files that fit the pattern, each name once: the first folder that has it wins."""
        names: set[str] = set()
        for folder in folders:
            for name in self._names(PurePosixPath(folder), pattern):
                path = PurePosixPath(folder) / name
                target = self.resolve(path)
                if name in names or target is None or not self._at(target).is_file():
                    continue
                names.add(name)
                yield Found(name=path, target=target)

    def resolve(self, path: PurePosixPath) -> PurePosixPath | None:
        """Follow symlinks as if the root were `/`; None when they go round or nothing is there."""
        todo = list(path.parts[1:])
        done = PurePosixPath("/")
        links = 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                done = done.parent
                continue
            try:
                target = self._at(done / part).readlink()
            except OSError:  # not a link
                done /= part
                continue
            links += 1
            if links > _MAX_LINKS:
                return None
            if target.is_absolute():
                done = PurePosixPath("/")
            todo = [*(part for part in target.parts if part != "/"), *todo]
        return done if self._at(done).exists() else None

    @property
    def device_root(self) -> Path:
        """Where device nodes are seen: the driver's own /dev where it has one, else ours."""
        return self.seen if (self.seen / "dev").is_dir() else Path("/")

    def _names(self, folder: PurePosixPath, pattern: str) -> list[str]:
        """What the folder holds; not by glob, which leaves out links that lead nowhere outside of the root."""
        there = self.resolve(folder)
        if there is None or not self._at(there).is_dir():
            return []
        return sorted(path.name for path in self._at(there).iterdir() if fnmatchcase(path.name, pattern))

    def _first(self, folders: tuple[str, ...], name: str) -> Path | None:
        return next((self._at(found.target) for found in self.files(folders, name)), None)

    def _at(self, path: PurePosixPath) -> Path:
        return self.seen / path.relative_to("/")


def daemon_edits(root: DriverRoot, device_root: Path | None = None) -> Edits:
    """What an IMEX daemon's container needs of the driver: programs, libraries, device nodes. Refused without IMEX."""
    try:
        return _daemon_edits(root, device_root or root.device_root)
    except OSError as error:  # a driver that is being replaced: files vanish between two looks
        raise Again(
            f"driver root {root.on_host} (seen at {root.seen}) cannot be read: {error.strerror or error}"
        ) from error


def _daemon_edits(root: DriverRoot, device_root: Path) -> Edits:
    if root.binary(IMEX) is None:
        raise Refused(
            f"driver root {root.on_host} (seen at {root.seen}) has no {IMEX} in {', '.join(BINARY_FOLDERS)}: "
            "install the driver's IMEX package, or correct nvidiaDriverRoot",
            reason="ImexMissing",
        )
    programs = [found for name in DAEMON_BINARIES for found in root.files(BINARY_FOLDERS, name)]
    libraries = [found for pattern in DAEMON_LIBRARIES for found in root.files(LIBRARY_FOLDERS, pattern)]
    folders = dict.fromkeys(str(found.name.parent) for found in libraries)
    # The daemon's image may look for libraries elsewhere than the host's distribution does.
    search = [f"LD_LIBRARY_PATH={':'.join(folders)}"] if folders else []
    return Edits(
        env=(NO_DEVICES, *search),
        device_nodes=tuple(_device_nodes(device_root)),
        mounts=tuple(_mount(root, found) for found in (*programs, *libraries)),
    )


def _mount(root: DriverRoot, found: Found) -> Mount:
    """The file itself at each of its names: a link on the host may point anywhere in a container."""
    host_path = root.on_host / found.target.relative_to("/")
    return Mount(host_path=str(host_path), container_path=str(found.name), options=READ_ONLY)


def _device_nodes(device_root: Path) -> Iterator[DeviceNode]:
    folder = device_root / "dev"
    for pattern in _DEVICE_PATTERNS:
        for path in sorted(folder.glob(pattern)):
            number = device_number(path)
            if number:
                mode = path.stat().st_mode & _DEVICE_MODE
                yield DeviceNode(f"/dev/{path.relative_to(folder)}", number[0], number[1], mode)
