from pathlib import Path, PurePosixPath

import pytest

from nvdra.adapters.devnodes import DiskDeviceNodes
from nvdra.adapters.driver_root import BINARY_FOLDERS, DriverRoot, daemon_edits
from nvdra.errors import Again, Refused
from nvdra.node import DeviceNode, Edits, Mount

LIBRARIES = "usr/lib/x86_64-linux-gnu"
RO = ("ro", "nosuid", "nodev", "bind")


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def link(root: Path, name: str, target: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(target)


def test_links_are_followed_within_the_root(tmp_path: Path) -> None:
    """Absolute, relative and outward links all stay inside; rings and dangling ones are absent."""
    put(tmp_path, "opt/real")
    for name, target in {
        "usr/bin/absolute": "/opt/real",
        "usr/bin/relative": "../../opt/real",
        "usr/bin/outward": "../../../../../../opt/real",
        "usr/bin/chain": "absolute",
        "usr/bin/ring": "ring",
        "usr/bin/dangling": "/etc/passwd",
    }.items():
        link(tmp_path, name, target)
    root = DriverRoot(tmp_path)

    assert {root.binary(name) for name in ("absolute", "relative", "outward", "chain")} == {tmp_path / "opt/real"}
    assert {root.binary(name) for name in ("ring", "dangling", "none")} == {None}


def test_the_first_folder_wins_and_folders_are_no_files(tmp_path: Path) -> None:
    """Search order is that of the reference, and only regular files count (#1275)."""
    (tmp_path / "nvidia-smi").mkdir()
    put(tmp_path, "usr/bin/nvidia-smi", "sbin/nvidia-smi", "lib64/libx.so.1", f"{LIBRARIES}/libx.so.1")
    root = DriverRoot(tmp_path)

    assert root.binary("nvidia-smi") == tmp_path / "usr/bin/nvidia-smi"
    assert root.library("libx.so.1") == tmp_path / LIBRARIES / "libx.so.1"


def test_a_late_driver_is_found(tmp_path: Path) -> None:
    """Nothing is remembered from before the driver was there (#1008)."""
    root = DriverRoot(tmp_path / "driver")
    assert root.library("libnvidia-ml.so.1") is None
    put(tmp_path, "driver/usr/lib64/libnvidia-ml.so.1")
    assert root.library("libnvidia-ml.so.1") == tmp_path / "driver/usr/lib64/libnvidia-ml.so.1"


def test_device_root_is_the_drivers_own_where_it_has_one(tmp_path: Path) -> None:
    """A driver container brings its own /dev."""
    assert DriverRoot(tmp_path).device_root == Path("/")
    (tmp_path / "dev").mkdir()
    assert DriverRoot(tmp_path).device_root == tmp_path


def test_a_daemon_gets_programs_libraries_and_devices(tmp_path: Path) -> None:
    """Each name is mounted where it is on the host, from the real file as the host sees it; channels stay out."""
    put(tmp_path, "usr/bin/nvidia-imex", "usr/bin/nvidia-imex-ctl", "usr/bin/nvidia-settings")
    put(tmp_path, f"{LIBRARIES}/libnvidia-ml.so.570", f"{LIBRARIES}/libcuda.so.570", f"{LIBRARIES}/libc.so.6")
    link(tmp_path, f"{LIBRARIES}/libnvidia-ml.so.1", "libnvidia-ml.so.570")
    devices = (DeviceNode("/dev/nvidia0", 195, 0, 0o666), DeviceNode("/dev/nvidia-caps/nvidia-cap3", 234, 3, 0o400))
    channel = DeviceNode("/dev/nvidia-caps-imex-channels/channel0", 236, 0)
    DiskDeviceNodes(tmp_path, plain_files=True).make([*devices, channel])
    put(tmp_path, "dev/nvidia-notes.txt")

    def mount(name: str, target: str = "") -> Mount:
        return Mount(f"/run/nvidia/driver/{target or name}", f"/{name}", RO)

    assert daemon_edits(DriverRoot(tmp_path, PurePosixPath("/run/nvidia/driver"))) == Edits(
        env=("NVIDIA_VISIBLE_DEVICES=void", f"LD_LIBRARY_PATH=/{LIBRARIES}"),
        device_nodes=devices,
        mounts=(
            mount("usr/bin/nvidia-imex"),
            mount("usr/bin/nvidia-imex-ctl"),
            mount(f"{LIBRARIES}/libnvidia-ml.so.1", f"{LIBRARIES}/libnvidia-ml.so.570"),
            mount(f"{LIBRARIES}/libnvidia-ml.so.570"),
            mount(f"{LIBRARIES}/libcuda.so.570"),
        ),
    )


def test_devices_may_come_from_another_root(tmp_path: Path) -> None:
    """The device root can be given."""
    put(tmp_path, "root/usr/bin/nvidia-imex")
    DiskDeviceNodes(tmp_path / "other", plain_files=True).make([DeviceNode("/dev/nvidiactl", 195, 255)])
    edits = daemon_edits(DriverRoot(tmp_path / "root"), tmp_path / "other")

    assert [node.path for node in edits.device_nodes] == ["/dev/nvidiactl"]


def test_without_imex_the_root_and_the_folders_are_named(tmp_path: Path) -> None:
    """A driver without IMEX is refused with where it was looked for."""
    with pytest.raises(Refused, match=f"driver root / .seen at {tmp_path}. has no nvidia-imex in") as caught:
        daemon_edits(DriverRoot(tmp_path))

    assert all(folder in str(caught.value) for folder in BINARY_FOLDERS)
    assert caught.value.reason == "ImexMissing"


def test_a_root_that_cannot_be_read_is_tried_again(tmp_path: Path) -> None:
    """As while a driver is replaced: it is named, and is a trouble that passes."""
    put(tmp_path, "usr/bin/nvidia-imex")
    link(tmp_path, "lib64", "x" * 300)
    with pytest.raises(Again, match=f"driver root / .seen at {tmp_path}. cannot be read: File name too long"):
        daemon_edits(DriverRoot(tmp_path), tmp_path)
