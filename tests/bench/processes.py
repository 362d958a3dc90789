"""Resident memory and start-up time of the driver's processes, on a rack where each is a process of its own."""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from nvdra.sim.rack import Rack, RackSettings
from nvdra.sim.scale.crowd import Crowd
from nvdra.sim.scale.member import Member
from nvdra.sim.topology import Topology
from tests.bench.table import Figure, resident
from tests.rack.rig import Rig

RUNS = 7
REST = 5.0
THOUSAND = Crowd(1008, 56, limit=600)
MIB = 2**20 / 1e6
GO_MEMORY = {"controller": "46 MB", "kubelet-plugin": "57 MB (with the GPU plugin 120 MB)", "imex-daemon": "42 MB"}
AIMS = {"imex-daemon": "aim 30 MB", "kubelet-plugin": "aim 75 MB, both drivers"}
STARTS = {
    "controller": "import nvdra.apps.controller, nvdra.apps.commands",
    "kubelet-plugin": "import nvdra.apps.kubelet_plugin, nvdra.apps.commands",
    "imex-daemon": "import nvdra.start, nvdra.apps.daemon, nvdra.apps.daemon_supervision",
}


async def memory() -> Sequence[Figure]:
    """One ComputeDomain on two nodes, workers running, some seconds at rest."""
    async with Rack(RackSettings(Topology(nodes=2))) as rack:
        rig = Rig(rack)
        await rig.published(2)
        await rig.create_domain(wanted=2)
        await rig.create_worker("a", "node-1")
        await rig.create_worker("b", "node-2")
        await rig.running("a", "b")
        await asyncio.sleep(REST)
        controller = rig.container("control-plane-1", "nvidia-dra-driver", "compute-domain")
        found = {"controller": controller, "kubelet-plugin": rig.plugin(), "imex-daemon": rig.daemon("node-1")}
        held = {name: resident(container.running.pid) for name, container in found.items()}
    bare = _bare()
    return [
        Figure(
            f"{name}: resident memory at rest",
            f"{mb:.1f} MB",
            AIMS.get(name) or f"{bare:.1f} MB (Python)",
            GO_MEMORY[name],
        )
        for name, mb in held.items()
    ]


async def thousand(crowd: Crowd = THOUSAND) -> Sequence[Figure]:
    """A member of a large ComputeDomain, and the controller of it: some seconds at rest once its worker runs."""
    held = await Member(crowd, lambda line: print(f"bench: {line}", file=sys.stderr)).run()
    return [
        Figure(
            f"{name}: resident memory after {crowd.nodes:,} nodes",
            f"{memory['after'] * MIB:.1f} MB",
            f"{memory['before'] * MIB:.1f} MB before" if memory["before"] else "",
        )
        for name, memory in held.items()
    ]


def starts() -> Sequence[Figure]:
    """From exec to everything imported; and the whole of `nvdra --help`."""
    bare = _median("-c", "pass")
    rows = [
        Figure(f"{name}: start until all is imported", f"{_median('-c', code):.0f} ms", f"{bare:.0f} ms (Python)")
        for name, code in STARTS.items()
    ]
    program = Path(sys.executable).parent / "nvdra"
    return [*rows, Figure("nvdra --help", f"{_median(str(program), '--help'):.0f} ms", f"{bare:.0f} ms (Python)")]


def _median(*words: str) -> float:
    """Milliseconds that a whole process takes."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def _bare() -> float:
    """MB of an interpreter that does nothing."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bare:
        time.sleep(0.3)
        held = resident(bare.pid)
        bare.communicate(b"\n")
    return held
