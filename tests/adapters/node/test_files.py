from pathlib import Path

import pytest

from nvdra.adapters.bootid import BOOT_ID, read_boot_id
from nvdra.adapters.files import DiskFiles
from nvdra.errors import Again, ConfigError

FILES = DiskFiles()


@pytest.mark.parametrize("content", [b"", b"x", b"\x00" * 70_000])
def test_what_was_written_is_read(tmp_path: Path, content: bytes) -> None:
    """Reading gives what was written, folders are made on the way, and nothing else is left beside it."""
    path = tmp_path / "a" / "b" / "file"
    FILES.write(path, b"before")
    FILES.write(path, content)

    assert FILES.read(path) == content
    assert list(path.parent.iterdir()) == [path]


def test_a_leftover_of_a_crash_does_not_stay(tmp_path: Path) -> None:
    """The file that a crashed write left aside is used up by the next."""
    (tmp_path / ".file.tmp").write_bytes(b"half of something much longer than the new content")
    FILES.write(tmp_path / "file", b"new")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"new"}


def test_overwrite_keeps_the_file_itself(tmp_path: Path) -> None:
    """In place means the same inode, whether the content grows or shrinks."""
    path = tmp_path / "hosts"
    path.write_bytes(b"127.0.0.1 localhost\n")
    inode = path.stat().st_ino
    for content in (b"longer than before, by far\n", b"short\n", b""):
        FILES.overwrite(path, content)
        assert (path.read_bytes(), path.stat().st_ino) == (content, inode)


def test_removed_is_gone_however_often(tmp_path: Path) -> None:
    """Files, folders with content and links go; what is not there is a success, and a link's target stays."""
    target = tmp_path / "target"
    target.mkdir()
    (target / "kept").touch()
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name in ("link", "folder", "file", "file", "never/was"):
        FILES.remove(tmp_path / name)

    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert (target / "kept").exists()


def test_absent_reads_as_none(tmp_path: Path) -> None:
    """No file is no error."""
    (tmp_path / "file").touch()

    assert FILES.read(tmp_path / "no") is None
    assert FILES.read(tmp_path / "file" / "below") is None


def test_errors_name_verb_and_path(tmp_path: Path) -> None:
    """What the disk refuses is told with the path, to be tried again."""
    (tmp_path / "file").touch()
    with pytest.raises(Again, match=f"cannot write {tmp_path}/file/below: "):
        FILES.write(tmp_path / "file" / "below", b"x")
    with pytest.raises(Again, match=f"cannot read {tmp_path}: Is a directory"):
        FILES.read(tmp_path)


def test_boot_id_is_the_kernels_or_a_files(tmp_path: Path) -> None:
    """The kernel's boot id by default; a stand-in where one is given; an unusable one is named."""
    stand_in = tmp_path / "boot_id"
    stand_in.write_text("boot-1\n")

    assert read_boot_id(stand_in) == "boot-1"
    if BOOT_ID.exists():
        assert len(read_boot_id()) == 36
    stand_in.write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        read_boot_id(stand_in)
    with pytest.raises(ConfigError, match="cannot read the boot id"):
        read_boot_id(tmp_path / "none")
