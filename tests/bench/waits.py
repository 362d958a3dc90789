"""From a domain that is ready to its worker's container that runs, after waits of different length."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from nvdra.sim.instances import launcher
from nvdra.sim.rack import Rack, RackSettings
from nvdra.sim.topology import Topology
from tests.bench.table import Figure
from tests.rack.rig import Rig

GO = {30: "up to 44 s later", 120: "67 s later after 60 s"}
FLOOR = "kubelet and container start"


async def figures(waits: Sequence[int] = (1, 30, 120)) -> Sequence[Figure]:
    """One domain and one node for each wait, side by side: IMEX becomes ready when the wait is over."""
    async with Rack(RackSettings(Topology(nodes=len(waits)), launcher=launcher)) as rack:
        rig = Rig(rack)
        await rig.published(len(waits))
        spent = await asyncio.gather(*(_one(rig, number, wait) for number, wait in enumerate(waits, 1)))
    return [
        Figure(
            f"IMEX ready after {wait} s: domain Ready → worker runs",
            f"{seconds * 1000:.0f} ms",
            FLOOR,
            GO.get(wait, ""),
        )
        for wait, seconds in zip(waits, spent, strict=True)
    ]


async def _one(rig: Rig, number: int, wait: int) -> float:
    node, domain = f"node-{number}", f"cd-{number}"
    rig.imex(node, ready_after=wait)
    await rig.create_domain(domain, wanted=1)
    await rig.create_worker(f"worker-{number}", node, domain)

    async def ready() -> bool:
        return bool((await rig.domain(domain)).get("status", {}).get("status") == "Ready")

    at = await _when(ready, wait + 60)
    return await _when(rig.runs(f"worker-{number}"), 100) - at


async def _when(holds: Callable[[], Awaitable[bool]], limit: float) -> float:
    async with asyncio.timeout(limit):
        while not await holds():  # noqa: ASYNC110  # the moment is what is measured
            await asyncio.sleep(0.002)
    return time.monotonic()
