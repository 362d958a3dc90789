"""`nvdra prestart`, the plugin's init container: waits for the node's driver, and explains a wrong driver root."""

import asyncio
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Final

import click

from nvdra.adapters.driver_root import BINARY_FOLDERS, IMEX, LIBRARY_FOLDERS, NVML_LIBRARY, DriverRoot
from nvdra.apps.commands import option, run

SMI: Final = "nvidia-smi"
CONTAINER_ROOT: Final = "/run/nvidia/driver"
"""Where the GPU Operator's driver container shows its file system."""
DRIVER_PODS: Final = "kubectl get pods -A -o wide -l app=nvidia-driver-daemonset"
LIKELY_ROOTS: Final = (CONTAINER_ROOT, "/home/kubernetes/bin/nvidia")
LOOK_EVERY: Final = 2.0
SAY_EVERY: Final = 60.0


@click.command()
@option("--nvidia-driver-root", "NVIDIA_DRIVER_ROOT", "/", "Driver root on the host.")
@option("--container-driver-root", "DRIVER_ROOT_CTR_PATH", "/driver-root", "The same folder as seen here.")
def prestart(**options: Any) -> None:
    """Wait until the node has an NVIDIA driver; explain what is missing."""
    root = DriverRoot(Path(options["container_driver_root"]), PurePosixPath(options["nvidia_driver_root"]))
    run(lambda: wait(root, click.echo))


async def wait(
    root: DriverRoot, say: Callable[[str], None], look_every: float = LOOK_EVERY, say_every: float = SAY_EVERY
) -> None:
    """Return when NVML's library and nvidia-smi are there; until then say what is missing, now and every minute."""
    clock = asyncio.get_running_loop().time
    last = float("-inf")
    while lacking := missing(root):
        if clock() - last >= say_every:
            last = clock()
            say("\n".join([f"waiting: {lacking}", *(f"  {line}" for line in advice(root))]))
        await asyncio.sleep(look_every)
    say(f"driver found in {root.on_host}: {root.library(NVML_LIBRARY)}, {root.binary(SMI)}")
    if root.binary(IMEX) is None:
        say(
            f"but {IMEX} is not in {', '.join(BINARY_FOLDERS)}: ComputeDomains will not work on this node until the"
            " driver's IMEX package is installed"
        )


def missing(root: DriverRoot) -> str:
    """What the driver root lacks, and where it was looked for; "" when it is complete."""
    parts = []
    if root.library(NVML_LIBRARY) is None:
        parts.append(f"no {NVML_LIBRARY} in {', '.join(LIBRARY_FOLDERS)}")
    if root.binary(SMI) is None:
        parts.append(f"no {SMI} in {', '.join(BINARY_FOLDERS)}")
    return f"driver root {root.on_host} (seen here at {root.seen}) has {' and '.join(parts)}" if parts else ""


def advice(root: DriverRoot) -> list[str]:
    """The likely reasons, the likeliest first."""
    on_host = str(root.on_host)
    if on_host == "/":
        found = [place for place in LIKELY_ROOTS if _complete(root, place)]
        if found:
            return [f"there is a driver in {found[0]} of this node: install with --set nvidiaDriverRoot={found[0]}"]
        return [
            "if the driver is to be on the node itself: it is not installed; install it together with its IMEX package",
            f"if the GPU Operator brings the driver: install with --set nvidiaDriverRoot={CONTAINER_ROOT}",
        ]
    if not _entries(root.seen):
        lines = [f"{on_host} is empty or absent on this node: nothing has put a driver there yet"]
        if on_host == CONTAINER_ROOT:
            lines.append(f"is the GPU Operator's driver pod of this node ready? {DRIVER_PODS}")
        return [*lines, "if the driver is installed on the node itself: install with --set nvidiaDriverRoot=/"]
    return [
        f"{on_host} holds {', '.join(_entries(root.seen)[:6])}: is it the root of a file system with the driver in it?",
        "nvidiaDriverRoot is / for a driver on the node itself, and " + CONTAINER_ROOT + " for the GPU Operator's",
    ]


def _complete(host: DriverRoot, place: str) -> bool:
    inner = DriverRoot(host.seen / place.lstrip("/"), PurePosixPath(place))
    return not missing(inner)


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []
