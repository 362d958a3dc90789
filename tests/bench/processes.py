"""Resident memory and start-up time of the driver's processes, on a rack where each is a process of its own."""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from attrs import frozen

from nvdra.sim.rack import Rack, RackSettings
from nvdra.sim.scale.crowd import Crowd
from nvdra.sim.scale.member import Member
from nvdra.sim.topology import Topology
from tests.bench.table import Figure, resident
from tests.rack.rig import Rig

RUNS = 25
REST = 5.0
THOUSAND = Crowd(1008, 56, limit=600)
MIB = 2**20 / 1e6
GO_MEMORY = {"controller": "46 MB", "kubelet-plugin": "57 MB (with the GPU plugin 120 MB)", "imex-daemon": "42 MB"}
AIMS = {"imex-daemon": "aim 30 MB", "kubelet-plugin": "aim 75 MB, both drivers"}
CHARTS = "from nvdra.apps.statecharts import interpreter"
STARTS = {
    "controller": "import nvdra.apps.controller, nvdra.apps.commands; "
    f"{CHARTS}; interpreter('compute-domain'); interpreter('imex-domain')",
    "kubelet-plugin": "import nvdra.apps.kubelet_plugin, nvdra.apps.commands; "
    f"{CHARTS}; interpreter('channel-claim'); interpreter('daemon-claim')",
    "imex-daemon": f"import nvdra.start, nvdra.apps.daemon; {CHARTS}; interpreter('imex-daemon')",
}
COMMON = "asyncio, ssl, attrs, msgspec, h11, transitions"
OTHERS = {
    "controller": f"{COMMON}, click",
    "kubelet-plugin": f"{COMMON}, click, cattrs, grpc.aio, google.protobuf.descriptor_pool",
    "imex-daemon": COMMON,
}
"""What is not ours of each."""


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
    with tempfile.TemporaryDirectory(prefix="nvdra-") as compiled:
        python = Starts(compiled)
        rows = [
            Figure(
                f"{name}: start, CPU until all is imported and its statecharts are read",
                f"{python.millis('-c', code):.0f} ms",
                f"{python.millis('-c', f'import {OTHERS[name]}'):.0f} ms (what it imports of others)",
            )
            for name, code in STARTS.items()
        ]
        rows.append(
            Figure(
                "nvdra --help, CPU",
                f"{python.millis('-m', 'nvdra', '--help'):.0f} ms",
                f"{python.millis('-c', 'import click'):.0f} ms (import click)",
            )
        )
        return [*rows, Figure("Python alone, CPU", f"{python.millis('-c', 'pass'):.0f} ms")]


@frozen
class Starts:
    """Processes that only start. Their bytecode is in a folder of their own, for an environment may forbid to write it."""

    compiled: str

    def millis(self, *words: str) -> float:
        """CPU time of a whole process in the best of many runs: others share the machine. The first run compiles."""
        kept = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        times = []
        for _ in range(RUNS):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            environment = {**kept, "PYTHONPYCACHEPREFIX": self.compiled}
            subprocess.run([sys.executable, *words], check=True, capture_output=True, env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(times) * 1000


def _bare() -> float:
    """MB of an interpreter that does nothing."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bare:
        time.sleep(0.3)
        held = resident(bare.pid)
        bare.communicate(b"\n")
    return held
