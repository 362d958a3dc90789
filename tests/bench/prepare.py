"""The kubelet's calls for a channel, over the plugin's real socket, next to the floor: one GET and two synced files."""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grpc import aio

from nvdra.adapters.files import DiskFiles
from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import load
from nvdra.adapters.kubelet import wire
from nvdra.api.kinds import RESOURCE_CLAIMS
from nvdra.sim.instances import launcher
from nvdra.sim.rack import Rack, RackSettings
from nvdra.sim.topology import Topology
from tests.bench.table import Figure, millis
from tests.rack.kubelet import PREPARE, UNPREPARE
from tests.rack.rig import Rig

REPEATS, FIRSTS = 200, 25
GO = "claim of a GPU: 198 / 201 ms (3.7 / 6.7 ms without its limit of 5 requests a second)"


async def figures() -> Sequence[Figure]:
    """First, repeated, and released."""
    with tempfile.TemporaryDirectory(prefix="nvdra-", dir=os.environ.get("NVDRA_BENCH_DISK", "/tmp")) as folder:
        async with Rack(RackSettings(Topology(nodes=1), launcher=launcher, root=Path(folder))) as rack:
            rig = Rig(rack)
            await rig.published(1)
            await rig.create_domain()
            await rig.create_worker("worker", "node-1")
            await rig.running("worker")
            claim = (await rig.claim_of("worker"))["metadata"]
            floor = await _floor(rig, claim)
            own = [("grpc.use_local_subchannel_pool", 1)]
            async with aio.insecure_channel(f"unix:{rig.plugin_folder('node-1')}/dra.sock", own) as channel:
                return await _calls(rig, Calls(channel, claim), floor)


class Calls:
    """The two calls for one claim."""

    def __init__(self, channel: Any, claim: Any) -> None:
        self.methods = {name: wire.method(channel, wire.DRA_V1, name) for name in (PREPARE, UNPREPARE)}
        self.requests = {name: wire.request(wire.DRA_V1, name) for name in self.methods}
        for request in self.requests.values():
            request.claims.add(uid=claim["uid"], namespace=claim["namespace"], name=claim["name"])

    async def timed(self, method: str) -> tuple[float, str]:
        """Milliseconds to the answer, and its error."""
        began = time.perf_counter()
        answer = await self.methods[method](self.requests[method], timeout=45)
        spent = (time.perf_counter() - began) * 1000
        return spent, next((claim.error for claim in answer.claims.values() if claim.error), "")


async def _calls(rig: Rig, calls: Calls, floor: list[float]) -> Sequence[Figure]:
    repeated = [(await calls.timed(PREPARE))[0] for _ in range(REPEATS)]
    firsts, releases = [], []
    for _ in range(FIRSTS):
        releases.append((await calls.timed(UNPREPARE))[0])
        await rig.until("given back", lambda: not rig.records("node-1"))
        firsts.append(await _first(rig, calls))
    least = f"{millis(floor)} (one GET, two synced files)"
    return [
        Figure("channel claim, first Prepare once its daemon is ready, p50 / p99", millis(firsts), least, GO),
        Figure("channel claim, Prepare repeated or shared by another pod", millis(repeated), "", ""),
        Figure("channel claim, Unprepare", millis(releases), "", "release of a GPU claim: p50 1.2 ms"),
    ]


async def _first(rig: Rig, calls: Calls) -> float:
    """The call that finds the daemon ready. The one before joins the node, and is broken off before it is answered."""

    async def apart() -> bool:
        return not (await rig.roster() or {}).get("daemons") and not await rig.daemons()

    await rig.until("its daemon has ended", apart)
    join = calls.methods[PREPARE](calls.requests[PREPARE], timeout=45)
    await rig.until("the node has joined", lambda: rig.label("node-1"))
    join.cancel()
    uid = calls.requests[PREPARE].claims[0].uid

    async def ready() -> bool:
        roster = await rig.roster() or {}
        mine = [entry for entry in roster.get("daemons", ()) if entry.get("claim") == uid]
        return bool(roster.get("formed")) and any(entry["status"] == "Ready" for entry in mine)

    await rig.until("its daemon is ready", ready)
    spent, error = await calls.timed(PREPARE)
    assert not error, error
    return spent


async def _floor(rig: Rig, claim: Any) -> list[float]:
    client, files = KubeClient(load(str(rig.rack.kubeconfig)), "bench", qps=10_000, burst=10_000), DiskFiles()
    times = []
    try:
        for _ in range(REPEATS):
            began = time.perf_counter()
            await client.get(RESOURCE_CLAIMS, claim["name"], claim["namespace"])
            for name in ("one", "two"):
                files.write(rig.rack.root / f"bench-{name}", b"x" * 500)
            times.append((time.perf_counter() - began) * 1000)
    finally:
        await client.close()
    return times
