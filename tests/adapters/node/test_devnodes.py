import os
import stat
from pathlib import Path

import pytest
from attrs import evolve

from nvdra.adapters.devnodes import DiskDeviceNodes, device_number
from nvdra.errors import Again, Refused
from nvdra.node import DeviceNode

NODES = (
    DeviceNode("/dev/nvidia-caps-imex-channels/channel0", 508, 0),
    DeviceNode("/dev/nvidia-caps-imex-channels/channel1", 508, 1, mode=0o600),
)


def may_mknod(folder: Path) -> bool:
    try:
        os.mknod(folder / "probe", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        return False
    (folder / "probe").unlink()
    return True


@pytest.fixture(params=["mknod", "plain"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> DiskDeviceNodes:
    if request.param == "mknod" and not may_mknod(tmp_path):
        pytest.skip("mknod is not permitted here: not root, or in a user namespace")
    return DiskDeviceNodes(tmp_path, plain_files=request.param == "plain")


def test_made_nodes_are_not_missing(root: DiskDeviceNodes) -> None:
    """Missing before, there afterwards with number and mode, and making again changes nothing."""
    assert root.missing(NODES) == NODES
    root.make(NODES)
    root.make(NODES)

    assert root.missing(NODES) == ()
    for node in NODES:
        path = root.root / node.path.lstrip("/")
        assert device_number(path) == (508, node.minor)
        assert path.stat().st_mode & 0o777 == node.mode
    assert len(list((root.root / "dev" / "nvidia-caps-imex-channels").iterdir())) == 2


def test_another_number_is_missing_and_replaced(root: DiskDeviceNodes) -> None:
    """A driver that came back with another major gets new nodes."""
    root.make(NODES)
    later = tuple(evolve(node, major=509) for node in NODES)

    assert root.missing(later) == later
    root.make(later[:1])
    assert root.missing(later) == later[1:]


def test_removed_nodes_are_gone_and_others_stay(root: DiskDeviceNodes) -> None:
    """Twice is as good as once; a node that came back with another number is not taken."""
    root.make((NODES[0], evolve(NODES[1], major=509)))
    root.remove(NODES)
    root.remove(NODES)

    assert root.missing(NODES) == NODES
    assert root.missing([evolve(NODES[1], major=509)]) == ()


def test_a_plain_file_is_no_device(tmp_path: Path) -> None:
    """Only the exact mark stands for a device."""
    path = tmp_path / "file"
    for content in (b"", b"nvdra stand-in for c 1\n", b"nvdra stand-in for c 1 2\n and more", b"x" * 999):
        path.write_bytes(content)
        assert device_number(path) is None
    assert device_number(tmp_path) is None
    assert device_number(Path("/dev/null")) == (1, 3)


def test_missing_understands_stand_ins_without_the_option(tmp_path: Path) -> None:
    """Whoever looks need not know how the nodes were made."""
    DiskDeviceNodes(tmp_path, plain_files=True).make(NODES)

    assert DiskDeviceNodes(tmp_path).missing(NODES) == ()


def test_a_refusal_says_which_right_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EPERM of the kernel becomes the name of the capability."""

    def mknod(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "mknod", mknod)  # root may everything: only so can it be refused here
    with pytest.raises(Refused, match=r"mknod c 508 0 .* capability MKNOD") as caught:
        DiskDeviceNodes(tmp_path).make(NODES)

    assert caught.value.reason == "DeviceNodeRefused"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("path", ["dev/x", "/dev/../etc/x", ""])
def test_a_path_never_leads_out_of_the_root(tmp_path: Path, path: str) -> None:
    """Relative paths and those with .. are refused."""
    with pytest.raises(Refused, match="is no path of a device node"):
        DiskDeviceNodes(tmp_path, plain_files=True).make([DeviceNode(path, 1, 1)])


def test_a_file_in_the_way_of_the_folder_is_told(tmp_path: Path) -> None:
    """Other trouble names the path and is tried again."""
    (tmp_path / "dev").touch()
    with pytest.raises(Again, match=r"cannot make the device node .*channel0: "):
        DiskDeviceNodes(tmp_path, plain_files=True).make(NODES)
