"""What stands for hardware on a node: NVML as a C library, nvidia-imex, nvidia-smi and the driver's /proc files.

The programs are shell scripts that start nvdra's pretend IMEX with the Python of the container that they run in.
"""

import hashlib
import shutil
import subprocess
import uuid
from pathlib import Path

from attrs import frozen

from .binaries import cache
from .faults import BedFault
from .layout import CLIQUE, Node

SOURCE = Path(__file__).resolve().parent.parent / "nvml/nvml.c"
DRIVER = "580.95.05"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
CHANNEL_MAJOR, CAPS_MAJOR, IMEX_MINOR = 507, 508, 4
"""The channels' major is that of the user guide's own listing."""
CONTROL = "libnvidia-imex-control.so.1"
"""Failures that nvidia-imex acts out, as JSON. Named as a library, so that the driver mounts it into IMEX's containers."""
GPUS = 4

IMEX = f"""#!/bin/sh
# A stand-in for {{name}}: nvdra's pretend one, run by the Python of whatever image this is mounted into.
trap '' USR1
mkdir -p /run/nvdra-sim && ln -sf /{LIBRARIES}/{CONTROL} /run/nvdra-sim/imex-control.json
export NVDRA_SIM_NODE_ROOT=/run/nvdra-sim NVDRA_SIM_HOSTS=/etc/hosts NVDRA_SIM_PERSIST=/var/run/nvidia-imex/persist.dat
mkdir -p /var/run/nvidia-imex
PYTHONPATH=/usr/local/lib/python3.11/dist-packages exec /usr/bin/python3 -S -m nvdra.sim.imex {{program}} "$@"
"""
SMI = f"#!/bin/sh\necho 'NVIDIA-SMI {DRIVER} (a stand-in of the nvdra test bed)'\n"
PROC_DEVICES = f"""Character devices:
  1 mem
  5 /dev/tty
195 nvidia
{CHANNEL_MAJOR} nvidia-caps-imex-channels
{CAPS_MAJOR} nvidia-caps

Block devices:
259 blkext
"""


@frozen
class Fabric:
    """What NVML says of a GPU's fabric: by default that it has joined its clique."""

    clique: str = CLIQUE
    state: int = 3
    status: int = 0


def install(node: Node, version: str = DRIVER) -> None:
    """Make the node's driver root as if the driver had been installed there."""
    root = node.driver
    library = root / LIBRARIES / f"libnvidia-ml.so.{version}"
    library.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(nvml_library(), library)
    (library.parent / "libnvidia-ml.so.1").unlink(missing_ok=True)
    (library.parent / "libnvidia-ml.so.1").symlink_to(library.name)
    (library.parent / CONTROL).write_text("{}")
    _program(root / "usr/bin/nvidia-imex", IMEX.format(name="nvidia-imex", program="imex"))
    _program(root / "usr/bin/nvidia-imex-ctl", IMEX.format(name="nvidia-imex-ctl", program="ctl"))
    _program(root / "usr/bin/nvidia-smi", SMI)
    capability = root / "proc/driver/nvidia/capabilities/fabric-imex-mgmt"
    capability.parent.mkdir(parents=True, exist_ok=True)
    capability.write_text(f"DeviceFileMinor: {IMEX_MINOR}\nDeviceFileMode: 256\nDeviceFileModify: 1\n")
    (root / "proc/driver/nvidia/params").write_text("ImexChannelCount: 2048\n")
    (root / "proc/devices").write_text(PROC_DEVICES)
    describe(node, Fabric(node.clique) if node.clique else None, version=version)


def describe(node: Node, fabric: Fabric | None, init: int = 0, version: str = DRIVER) -> None:
    """From the next look at NVML on, the node's GPUs are so. None: they have no fabric at all."""
    lines = [f"driver {version}", f"init {init}"]
    for index in range(GPUS):
        name = f"GPU-{uuid.uuid5(uuid.NAMESPACE_DNS, f'{node.name}/{index}')}"
        cluster, _, clique = fabric.clique.partition(".") if fabric else ("", "", "")
        lines.append(
            f"gpu {name} fabric {fabric.state} {fabric.status} {cluster} {clique}" if fabric else f"gpu {name} none"
        )
    aside = node.hardware.with_suffix(".new")
    aside.write_text("\n".join(lines) + "\n")
    aside.rename(node.hardware)


def imex_acts(node: Node, told: str) -> None:
    """Tell nvidia-imex what to act out (nvdra.sim.imex.settings.Control). In place: it is mounted as a file."""
    (node.driver / LIBRARIES / CONTROL).write_text(told)


def nvml_library() -> Path:
    """The compiled stand-in, once per machine and source."""
    if shutil.which("gcc") is None:
        raise BedFault("no C compiler for the stand-in of NVML; Debian and Ubuntu: apt-get install gcc libc6-dev")
    key = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    library = cache() / "nvml" / f"libnvidia-ml-{key}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-Wl,-soname,libnvidia-ml.so.1"]
        subprocess.run(["gcc", *flags, "-o", str(library), str(SOURCE)], check=True)
    return library


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
