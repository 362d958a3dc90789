"""`nvdra sim join`: all nodes of a rack join one ComputeDomain at once, and everything that it cost is counted."""

import asyncio
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import asdict, frozen

from nvdra.api import names
from nvdra.api.computedomain import ComputeDomain
from nvdra.api.kind import Kind
from nvdra.api.kinds import COMPUTE_DOMAINS, PODS, RESOURCE_SLICES
from nvdra.errors import NvdraError
from nvdra.sim import manifests
from nvdra.sim.apiserver.counters import Counts
from nvdra.sim.instances import launcher
from nvdra.sim.rack import Rack, RackSettings
from nvdra.sim.topology import Topology

DOMAIN = "join"
WRITES = ("create", "update", "patch", "delete", "deletecollection")
UNCOUNTED = ("leases", "events")
_PODS: Kind[dict[str, Any]] = Kind(dict, PODS.kind, PODS.plural)
_DOMAINS: Kind[dict[str, Any]] = Kind(dict, "ComputeDomain", "computedomains", version=names.VERSION, group=names.GROUP)


@frozen
class Joined:
    """What a join cost. Writes are counted from before the first node label on, without Leases and Events."""

    nodes: int
    cliques: int
    writes: int
    writes_by: Mapping[str, int]
    touches: int
    conflicts: int
    bytes_watched_per_node: int
    bytes_watched_by_controller: int
    seconds_last_daemon_to_ready: float
    seconds_first_label_to_ready: float
    seconds_ready_to_all_running: float
    peak_memory_mib: int


async def join(topology: Topology, say: Callable[[str], None], limit: float = 300.0) -> Joined:
    """Build the rack, join all of its nodes, wait until every worker runs. NvdraError when that takes too long."""
    async with Rack(RackSettings(topology, launcher=launcher)) as rack:
        race = _Race(rack, topology.nodes + topology.without_fabric, say, limit)
        return await race.run(topology)


class _Race:
    """One run."""

    def __init__(self, rack: Rack, nodes: int, say: Callable[[str], None], limit: float) -> None:
        self.rack, self.nodes, self.say, self.limit = rack, nodes, say, limit

    async def run(self, topology: Topology) -> Joined:
        await self._until(f"{self.nodes} plugins to publish their devices", self._published)
        await self._create_domain()
        await self._until("the domain to be provisioned", self._provisioned)
        before = self.rack.api.counters.snapshot()
        began = time.monotonic()
        await asyncio.gather(*(self._create_worker(name) for name, _ in topology.workers()))
        last_daemon = 0.0
        ready = 0.0
        while not ready:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            if not last_daemon and await self._daemons_ready() >= topology.nodes:
                last_daemon = time.monotonic()
            if (await self._domain()).status.status == "Ready":
                ready = now
            if now - began > self.limit:
                raise NvdraError(await self._stuck())
        last_daemon = last_daemon or ready
        await self._until("all workers to run", self._all_run)
        running = time.monotonic()
        await asyncio.sleep(1.0)  # what comes after it is there counts too
        return self._told(topology, self.rack.api.counters.snapshot() - before, (began, last_daemon, ready, running))

    def _told(self, topology: Topology, spent: Counts, times: tuple[float, float, float, float]) -> Joined:
        began, last_daemon, ready, running = times
        ours = {r: n for r, n in spent.requests.items() if r.agent.startswith("nvdra-")}
        writes = {r: n for r, n in ours.items() if r.verb in WRITES and r.resource.split("/")[0] not in UNCOUNTED}
        touches = sum(n for r, n in writes.items() if r.resource == "pods" and "plugin" in r.agent)
        by: dict[str, int] = {}
        for request, number in writes.items():
            name = f"{request.agent.removeprefix('nvdra-')} {request.verb} {request.resource} {request.code}"
            by[name] = by.get(name, 0) + number
        watched = spent.watched
        on_nodes = sum(n for agent, n in watched.items() if agent in ("nvdra-kubelet-plugin", "nvdra-imex-daemon"))
        return Joined(
            nodes=self.nodes,
            cliques=topology.cliques,
            writes=sum(writes.values()) - touches,
            writes_by=dict(sorted(by.items())),
            touches=touches,
            conflicts=sum(n for r, n in ours.items() if r.code == 409),
            bytes_watched_per_node=on_nodes // max(1, self.nodes),
            bytes_watched_by_controller=watched.get("nvdra-controller", 0),
            seconds_last_daemon_to_ready=round(ready - last_daemon, 3),
            seconds_first_label_to_ready=round(ready - began, 3),
            seconds_ready_to_all_running=round(running - ready, 3),
            peak_memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        )

    async def _create_domain(self) -> None:
        channel = {"resourceClaimTemplate": {"name": f"{DOMAIN}-channel"}}
        body = {
            "apiVersion": f"{names.GROUP}/{names.VERSION}",
            "kind": "ComputeDomain",
            "metadata": {"name": DOMAIN},
            "spec": {"numNodes": self.nodes, "channel": channel},
        }
        await self.rack.cluster.create(_DOMAINS, body, "default")

    async def _create_worker(self, node: str) -> None:
        body = manifests.worker(f"worker-{node}", node, f"{DOMAIN}-channel")
        await self.rack.cluster.create(_PODS, body, "default")

    async def _domain(self) -> ComputeDomain:
        return await self.rack.cluster.get(COMPUTE_DOMAINS, DOMAIN, "default")

    async def _provisioned(self) -> bool:
        condition = (await self._domain()).condition("Provisioned")
        return condition is not None and condition.status == "True"

    async def _daemons_ready(self) -> int:
        pods = (await self.rack.cluster.list(PODS, names.DRIVER_NAMESPACE, labels=names.DOMAIN_LABEL)).items
        return sum(pod.ready for pod in pods)

    async def _all_run(self) -> bool:
        pods = (await self.rack.cluster.list(PODS, "default")).items
        return sum(pod.status.phase == "Running" for pod in pods) >= self.nodes

    async def _published(self) -> bool:
        return len((await self.rack.cluster.list(RESOURCE_SLICES)).items) >= self.nodes

    async def _until(self, what: str, holds: Callable[[], Any]) -> None:
        end = time.monotonic() + self.limit
        while True:
            found = holds()
            if await found if asyncio.iscoroutine(found) else found:
                return
            if time.monotonic() > end:
                raise NvdraError(f"waited {self.limit:.0f} s for {what}; {await self._stuck()}")
            await asyncio.sleep(0.02)

    async def _stuck(self) -> str:
        try:
            domain = await self._domain()
        except NvdraError as error:
            return str(error)
        conditions = "; ".join(f"{c.type}={c.status}: {c.message}" for c in domain.status.conditions)
        return f"the domain stands at {domain.status.nodesReady or '0'}: {conditions}"


def plain(joined: Joined) -> dict[str, Any]:
    """For --json."""
    return asdict(joined)
