"""A node's sudden end and its next boot: what ran is gone, /run and /dev are new, its disk is as it was."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from . import cgroups, node
from .cluster import Cluster, run
from .faults import BedFault

LIMIT = 60.0


def reboot(bed: Cluster, number: int) -> None:
    """Cut the power and boot again, until the kubelet has been started. No process of the node has time to say goodbye."""
    switch_off(bed, number)
    switch_on(bed, number)


def switch_off(bed: Cluster, number: int) -> None:
    """Kill all of the node's processes; the last of them takes its mounts along."""
    one = bed.layout.node(number)
    group = f"{bed.layout.cgroup}/{one.name}"
    mounts = run(bed.on_node(number, "readlink", "/proc/self/ns/mnt")).strip()
    for program in ("kubelet", "containerd"):
        bed.stop(f"{one.name}/{program}", signal.SIGKILL)

    def dead() -> bool:
        left = set(_with_mounts(mounts)) | set(_in_group(group))
        for pid in left:
            _kill(pid)
        return not left

    _until(dead, f"all processes of {one.name} ended")
    _until(lambda: not cgroups.remove(group), f"the cgroups of {one.name} are empty")


def switch_on(bed: Cluster, number: int) -> None:
    """The next boot: mounts, containerd, and then the kubelet."""
    one = bed.layout.node(number)
    cgroups.make([f"{bed.layout.cgroup}/{one.name}"])
    node.boot_anew(one)
    mounted = one.root / "mounted"
    mounted.unlink(missing_ok=True)
    bed.start(f"{one.name}/node")
    _until(mounted.exists, f"{one.name} has its mounts")
    bed.start(f"{one.name}/containerd")
    _until(lambda: "sock" in run(bed.on_node(number, "ls", "/run/containerd")), f"containerd of {one.name} answers")
    bed.start(f"{one.name}/kubelet")


def _with_mounts(namespace: str) -> Iterator[int]:
    """Processes, as the machine counts, that see the node's own mounts: containers' shims, shells, who holds it."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns/mnt").readlink() == Path(namespace):
                yield int(process.name)
        except OSError:  # it ended meanwhile, or is a zombie
            continue


def _in_group(group: str) -> Iterator[int]:
    """Processes, as the machine counts, of the node's containers."""
    for hierarchy in cgroups.hierarchies():
        for file in (hierarchy / group).rglob("cgroup.procs"):
            try:
                yield from map(int, file.read_text().split())
            except OSError:
                continue


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _until(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + LIMIT
    while not done():
        if time.monotonic() > end:
            raise BedFault(f"not within {LIMIT:.0f} s: {what}")
        time.sleep(0.05)
