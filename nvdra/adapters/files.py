"""Small files on disk that survive a crash whole: written aside, synced, renamed, and the folder synced."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import frozen

from nvdra.errors import Again

FILE_MODE: Final = 0o644
FOLDER_MODE: Final = 0o755


@frozen
class DiskFiles:
    """ports.Folders. One writer a path: a leftover of a crash is reused by the next write, so none pile up."""

    def read(self, path: Path) -> bytes | None:
        """The content, or None when there is no such file."""
        with _named("read", path):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, path: Path, content: bytes) -> None:
        """Atomic, synced; makes the folder when needed."""
        with _named("write", path):
            _make_folder(path.parent)
            aside = path.with_name(f".{path.name}.tmp")
            _write(aside, content, os.O_TRUNC)
            aside.replace(path)
            sync_folder(path.parent)

    def overwrite(self, path: Path, content: bytes) -> None:
        """In place, in one write: a reader of /etc/hosts sees the old lines or the new, never none."""
        with _named("overwrite", path):
            _write(path, content, 0)

    def names(self, folder: Path) -> Sequence[str]:
        """What is in a folder, in order; nothing when there is none."""
        with _named("look into", folder):
            try:
                return sorted(path.name for path in folder.iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return []

    def move(self, path: Path, target: Path) -> None:
        """Rename a file within its folder."""
        with _named("rename", path):
            path.rename(target)

    def remove(self, path: Path) -> None:
        """Gone afterwards, and that is synced; already gone is success. A folder goes with its content."""
        import shutil  # brings lzma and bz2: half a megabyte that the IMEX daemon has no use for

        with _named("remove", path):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return
            except (IsADirectoryError, PermissionError):
                if not path.is_dir():
                    raise
                shutil.rmtree(path)
            sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in this folder survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes, flags: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, FILE_MODE)
    try:
        written = os.write(descriptor, content)
        while written < len(content):  # a full disk or a signal: go on, the error comes with the next call
            written += os.write(descriptor, content[written:])
        os.ftruncate(descriptor, len(content))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    """With its parents, each synced: a new folder that a crash takes away takes its files along."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    sync_folder(folder.parent)


@contextmanager
def _named(verb: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Again(f"cannot {verb} {path}: {error.strerror or error}") from error
