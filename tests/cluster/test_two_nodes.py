"""Two workers of one ComputeDomain on two real nodes: the wait, its end, and what restarts on the way."""

import asyncio
import json

import pytest

from nvdra.api import names
from tests.cluster import installation, leftovers
from tests.cluster.bed import hardware
from tests.cluster.bed.cluster import Cluster
from tests.cluster.view import PODS, Film, Shot, User, filmed, running, runs, until
from tests.cluster.workloads import worker

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("driver")]
WAIT = 120.0


async def test_a_wait_of_two_minutes_ends_within_two_seconds(bed: Cluster, user: User, pair: str) -> None:
    """IMEX is ready only after two minutes: both workers run at once then; the kubelet alone would take up to 90 s."""
    for node in bed.layout.all_nodes:
        hardware.imex_acts(node, json.dumps({"ready_after": WAIT}))
    async with filmed(bed.layout.kubeconfig, PODS) as film:
        user.apply(worker(pair, 1), worker(pair, 2))
        ready = await both_daemons_ready(film, limit=WAIT + 60)
        for number in (1, 2):
            shot = await film.first(f"worker {number} runs", runs(f"{pair}-{number}"), limit=100)
            assert shot.at - ready < 2.0, f"worker {number}: {shot.at - ready:.1f} s after both daemons were ready"


@pytest.mark.every_release
async def test_restarts_leave_the_workload_alone(bed: Cluster, user: User, pair: str) -> None:
    """Plugin, controller and kubelet start again under a running domain: no IMEX daemon restarts, and all goes in the end."""
    async with filmed(bed.layout.kubeconfig, PODS) as film:
        user.apply(worker(pair, 1), worker(pair, 2))
        for number in (1, 2):
            await film.first(f"worker {number} runs", runs(f"{pair}-{number}"), limit=40)
        before = leftovers.imex_processes(bed)
        user.kubectl("delete", "pods", "-n", names.DRIVER_NAMESPACE, "-l", installation.COMPONENT, "--timeout=60s")
        bed.stop("node-1/kubelet")
        bed.start("node-1/kubelet")
        await asyncio.to_thread(until, "the driver is ready again", lambda: installation.ready(user), 60)
        assert leftovers.imex_processes(bed) == before
        for number in (1, 2):
            pod = user.json("get", "pod", f"{pair}-{number}")
            assert running(pod)
            assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


async def both_daemons_ready(film: Film, limit: float) -> float:
    """The moment at which the second daemon's container was ready."""
    seen: dict[str, float] = {}

    def ready(shot: Shot) -> bool:
        if names.DOMAIN_LABEL not in shot.object["metadata"].get("labels", {}):
            return False
        states = shot.object.get("status", {}).get("containerStatuses", ())
        if states and all(state["ready"] for state in states):
            seen.setdefault(shot.name, shot.at)
        return len(seen) == 2

    return (await film.first("both daemons are ready", ready, limit=limit)).at
