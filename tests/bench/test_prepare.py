"""Latency of the kubelet's calls for a channel whose daemon is ready, next to the floor: a GET and two synced files."""

import os
import statistics
import tempfile
import time
from pathlib import Path

import pytest
from grpc import aio

from nvdra.adapters.files import DiskFiles
from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import load
from nvdra.adapters.kubelet import wire
from nvdra.api.kinds import RESOURCE_CLAIMS
from nvdra.sim.instances import launcher
from nvdra.sim.rack import Rack, RackSettings
from nvdra.sim.topology import Topology
from tests.rack.kubelet import PREPARE, UNPREPARE
from tests.rack.rig import Rig

ROUNDS = 100


async def _timed(call, request):
    began = time.perf_counter()
    answer = await call(request, timeout=45)
    spent = time.perf_counter() - began
    errors = [claim.error for claim in answer.claims.values() if claim.error]
    return spent * 1000, errors


@pytest.fixture
def disk():
    """A folder on a disk, where syncing costs what it costs, with a short name: sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="nvdra-", dir=os.environ.get("NVDRA_BENCH_DISK", "/tmp")) as folder:
        yield Path(folder)


async def test_latency_of_prepare_and_unprepare(disk):
    """On a node without fabric nothing but the driver's own work is in the way: record, label, release, answer."""
    settings = RackSettings(Topology(nodes=1, without_fabric=1), launcher=launcher, root=disk)
    async with Rack(settings) as rack:
        rig = Rig(rack)
        await rig.published(2)
        rows = {}
        await rig.create_domain()
        await rig.create_worker("fabric", "node-1")
        await rig.create_worker("none", "node-2")
        await rig.running("fabric", "none")
        for node, pod in (("node-1", "fabric"), ("node-2", "none")):
            claim = (await rig.claim_of(pod))["metadata"]
            rows |= await _calls(rig, node, claim)
        rows |= await _floor(rig, (await rig.claim_of("fabric"))["metadata"])
    print(f"\n{'ms':<56}{'p50':>8}{'p99':>8}")
    for name, times in rows.items():
        print(f"{name:<56}{statistics.median(times):>8.2f}{statistics.quantiles(times, n=100)[98]:>8.2f}")


async def _calls(rig, node, claim):
    async with aio.insecure_channel(f"unix:{rig.plugin_folder(node)}/dra.sock") as channel:
        requests = {}
        for method in (PREPARE, UNPREPARE):
            requests[method] = wire.request(wire.DRA_V1, method)
            requests[method].claims.add(uid=claim["uid"], namespace=claim["namespace"], name=claim["name"])
        prepare, unprepare = (wire.method(channel, wire.DRA_V1, method) for method in (PREPARE, UNPREPARE))
        repeated = [(await _timed(prepare, requests[PREPARE]))[0] for _ in range(ROUNDS)]
        if node == "node-1":  # a release there ends the daemon: its next start is not what is measured here
            return {"prepare again, with a fabric": repeated}
        fresh, released = [], []
        for _ in range(ROUNDS):
            released.append((await _timed(unprepare, requests[UNPREPARE]))[0])
            await rig.until("given back", lambda: not rig.records(node))
            spent, errors = await _timed(prepare, requests[PREPARE])
            if not errors:
                fresh.append(spent)
        return {
            "prepare again, without a fabric": repeated,
            "unprepare, without a fabric": released,
            f"prepare, joining anew ({len(fresh)} of {ROUNDS} at once)": fresh,
        }


async def _floor(rig, claim):
    client, files = KubeClient(load(str(rig.rack.kubeconfig)), "bench"), DiskFiles()
    gets, writes = [], []
    try:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await client.get(RESOURCE_CLAIMS, claim["name"], claim["namespace"])
            gets.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            for name in ("one", "two"):
                files.write(rig.rack.root / f"bench-{os.getpid()}-{name}", b"x" * 500)
            writes.append((time.perf_counter() - began) * 1000)
    finally:
        await client.close()
    return {"floor: one GET of the claim": gets, "floor: two small files, synced": writes}
