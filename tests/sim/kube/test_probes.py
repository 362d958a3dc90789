"""The kubelet's probes, by themselves."""

import asyncio
from types import SimpleNamespace

from nvdra.sim.kube.kubelet.probes import Prober, Target


async def test_a_prober_that_is_cancelled_ends_whenever_that_is():
    """Also in the moment in which an answer comes: one that went on would keep its ended container for ever."""
    container = SimpleNamespace(started_up=False, ready=False, started=0.0)
    spec = {"startupProbe": {"httpGet": {"path": "/", "port": 9}, "periodSeconds": 60, "failureThreshold": 9}}

    async def nobody(*_):
        return

    for turns in range(40):
        prober = Prober(spec, Target(None, container, "127.0.0.1", {}), lambda: None, nobody)
        task = asyncio.ensure_future(prober.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done, f"cancelled after {turns} turns of the loop, it goes on"
