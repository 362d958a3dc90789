"""A pretend NVML and the driver's files of a node, made from plain files that a test may change while all runs."""

import hashlib
import json
import sys
import uuid
from pathlib import Path
from typing import Any, Final

from attrs import asdict, evolve, frozen

from nvdra.node import ChannelNumbers, Fabric, Gpu, NvmlReading
from nvdra.sim.imex.settings import DRIVER_VERSION, Place, place_of
from nvdra.sim.imex.shims import write_shims

CHANNEL_MAJOR: Final = 507
"""As in the user guide's own listing of channel0."""
CAPS_MAJOR: Final = 508
IMEX_MGMT_MINOR: Final = 4
NO_LIBRARY: Final = "libnvidia-ml.so.1: cannot open shared object file: No such file or directory"


class PretendNvml:
    """ports.Nvml from one JSON file, read anew at each look; no file stands for no driver."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> NvmlReading:
        """What the file says now; what is wrong with it is in `error`."""
        try:
            return _reading(json.loads(self._path.read_text()))
        except FileNotFoundError:
            return NvmlReading(error=NO_LIBRARY)
        except (OSError, ValueError, TypeError, KeyError) as error:
            return NvmlReading(error=f"{self._path}: not a pretend node's hardware: {error!r}")


def gpus_of(node: str, count: int, fabric: Fabric | None) -> tuple[Gpu, ...]:
    """GPUs with UUIDs that depend on nothing but the node's name."""
    return tuple(Gpu(index, f"GPU-{_uuid(f'{node}/{index}')}", fabric) for index in range(count))


def cluster_uuid(rack: str) -> str:
    """An NVLink cluster's UUID that depends on nothing but the rack's name."""
    return _uuid(rack)


def write_hardware(path: Path, reading: NvmlReading) -> None:
    """Make the node's hardware be this from the next look on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(json.dumps(asdict(reading), indent=2))
    aside.rename(path)


def write_rack_node(
    path: Path, name: str, gpus: int = 4, fabric: Fabric | None = None, driver_version: str = DRIVER_VERSION
) -> NvmlReading:
    """Hardware of one node of a rack; without `fabric`, NVML says NOT_SUPPORTED for all of its GPUs."""
    reading = NvmlReading(driver_version, gpus_of(name, gpus, fabric))
    write_hardware(path, reading)
    return reading


def in_clique(cluster: str, clique: int) -> Fabric:
    """The fabric of a GPU that has joined: COMPLETED and SUCCESS."""
    return Fabric(state=3, status=0, cluster_uuid=cluster, clique_id=clique)


def change_fabric(path: Path, fabric: Fabric | None, gpu: int | None = None) -> None:
    """Give all GPUs of a node, or one, another fabric: still training, failed, another clique."""
    reading = _reading(json.loads(path.read_text()))
    changed = tuple(evolve(g, fabric=fabric) if gpu in {None, g.index} else g for g in reading.gpus)
    write_hardware(path, evolve(reading, gpus=changed))


@frozen
class DriverRoot:
    """Where the parts of a pretend driver are, below one root."""

    root: Path
    hardware: Path
    proc_devices: Path
    proc_driver: Path
    programs: Path
    place: Place


def make_driver_root(
    node_root: Path, hosts: Path | None = None, numbers: ChannelNumbers | None = None, python: str = sys.executable
) -> DriverRoot:
    """Files of an installed driver: programs, a marker for the library, /proc files. The hardware file is not made.

    `numbers` without channel_major: a driver that was built without IMEX.
    """
    numbers = numbers or ChannelNumbers(CHANNEL_MAJOR, CAPS_MAJOR, imex_mgmt_minor=IMEX_MGMT_MINOR)
    root = node_root / "driver"
    made = DriverRoot(
        root=root,
        hardware=node_root / "hardware.json",
        proc_devices=root / "proc/devices",
        proc_driver=root / "proc/driver/nvidia",
        programs=root / "usr/bin",
        place=place_of(node_root, hosts or "/etc/hosts"),
    )
    write_shims(made.programs, made.place, python)
    _write(made.programs / "nvidia-smi", _SMI.format(hardware=made.hardware), 0o755)
    _write(root / "usr/lib64/libnvidia-ml.so.1", "A pretend library: the rack reads hardware.json instead.\n")
    _write(made.proc_devices, proc_devices_text(numbers))
    _write(made.proc_driver / "params", f"EnableMSI: 1\nImexChannelCount: {numbers.channels}\n")
    capability = made.proc_driver / "capabilities/fabric-imex-mgmt"
    if numbers.imex_mgmt_minor is not None:
        _write(capability, f"DeviceFileMinor: {numbers.imex_mgmt_minor}\nDeviceFileMode: 256\nDeviceFileModify: 1\n")
    return made


def proc_devices_text(numbers: ChannelNumbers) -> str:
    """/proc/devices of a node with that driver."""
    majors = [(1, "mem"), (5, "/dev/tty"), (10, "misc"), (195, "nvidia"), (195, "nvidiactl")]
    if numbers.channel_major is not None:
        majors.append((numbers.channel_major, "nvidia-caps-imex-channels"))
    if numbers.caps_major is not None:
        majors.append((numbers.caps_major, "nvidia-caps"))
    lines = [f"{major:>3} {name}" for major, name in sorted(majors)]
    return "\n".join(["Character devices:", *lines, "", "Block devices:", "  7 loop", "259 blkext", ""])


_SMI: Final = """#!/bin/sh
# A pretend nvidia-smi: it proves that the driver is there, and shows the hardware file.
echo 'NVIDIA-SMI (pretend, nvdra sim)'
exec cat {hardware}
"""


def _reading(told: dict[str, Any]) -> NvmlReading:
    gpus = tuple(Gpu(g["index"], g["uuid"], Fabric(**g["fabric"]) if g.get("fabric") else None) for g in told["gpus"])
    if told.get("error"):
        return NvmlReading(error=told["error"])
    return NvmlReading(told["driver_version"], gpus)


def _uuid(seed: str) -> str:
    return str(uuid.UUID(bytes=hashlib.sha256(seed.encode()).digest()[:16], version=4))


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
