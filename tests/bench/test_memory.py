"""Start-up time and resident memory of each process of the driver, on a rack where each is a process of its own."""

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nvdra.sim.rack import Rack, RackSettings
from nvdra.sim.topology import Topology
from tests.rack.rig import Rig

pytestmark = pytest.mark.rack
RUNS = 5


def resident(pid):
    """MiB that the process holds, and those of it that it shares with nobody (VmRSS, private pages)."""
    rss = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024
    private = sum(map(int, re.findall(r"^Private_\w+:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)))
    return rss, private / 1024


def begin(*words):
    """Milliseconds until a process with these words has imported everything and ends, best of some."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return min(times) * 1000


async def test_memory_of_a_controller_a_plugin_and_a_daemon_at_work():
    """One ComputeDomain on two nodes, workers running; the figures are printed and not judged."""
    async with Rack(RackSettings(Topology(nodes=2))) as rack:
        rig = Rig(rack)
        await rig.published(2)
        await rig.create_domain(wanted=2)
        await rig.create_worker("a", "node-1")
        await rig.create_worker("b", "node-2")
        await rig.running("a", "b")
        await asyncio.sleep(1)
        controller = rig.container("control-plane-1", "nvidia-dra-driver", "compute-domain")
        found = {"controller": controller, "kubelet-plugin": rig.plugin(), "imex-daemon": rig.daemon("node-1")}
        rows = [(name, *resident(container.running.pid)) for name, container in found.items()]
    print(f"\n{'process, at work':<32}{'resident MiB':>14}{'private MiB':>14}")
    for name, rss, private in rows:
        print(f"{name:<32}{rss:>14.1f}{private:>14.1f}")


def test_time_to_start():
    """From exec to everything imported, next to an interpreter that does nothing."""
    modules = {
        "python, nothing imported": "pass",
        "controller": "import nvdra.apps.controller, nvdra.apps.commands",
        "kubelet-plugin": "import nvdra.apps.kubelet_plugin, nvdra.apps.commands",
        "imex-daemon": "import nvdra.apps.daemon, nvdra.apps.daemon_supervision",
    }
    print(f"\n{'start, best of ' + str(RUNS):<32}{'ms':>14}")
    for name, code in modules.items():
        print(f"{name:<32}{begin('-c', code):>14.0f}")


async def test_time_until_a_daemon_acts():
    """A daemon's container from its start to its first line, and to a running nvidia-imex, as its own log tells."""
    async with Rack(RackSettings(Topology(nodes=1))) as rack:
        rig = Rig(rack)
        await rig.published(1)
        await rig.create_domain()
        began = time.monotonic()
        await rig.create_worker("a", "node-1")
        labelled = await _when(lambda: rig.label("node-1"))
        daemon = await _when(lambda: _daemon(rig))
        running = await _when(rig.runs("a"))
    print(f"\n{'worker on a fresh domain':<32}{'ms after create':>16}")
    for name, at in (("node labelled", labelled), ("daemon container started", daemon), ("worker runs", running)):
        print(f"{name:<32}{(at - began) * 1000:>16.0f}")


async def _daemon(rig):
    try:
        return rig.daemon("node-1")
    except AssertionError:
        return None


async def _when(holds):
    while not await holds():  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    return time.monotonic()
