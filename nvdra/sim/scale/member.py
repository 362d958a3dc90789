"""One real node among scripted ones: what its plugin, its IMEX daemon and the controller hold in memory.

The node is a rack of its own, whose kubelet, plugin and daemon are real processes; all others join over its API server.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define, field

from nvdra.api import names
from nvdra.errors import NvdraError
from nvdra.sim import manifests
from nvdra.sim.rack import CONTROL_PLANE_NODE, Rack, RackSettings
from nvdra.sim.scale.crowd import SLICES_PATH, Crowd, offer
from nvdra.sim.scale.place import DOMAINS_PATH, Place
from nvdra.sim.scale.proc import Usage
from nvdra.sim.scale.scripted import SCRIPTED, Domain, ScriptedNode
from nvdra.sim.scale.seeding import SETS_PATH
from nvdra.sim.topology import Topology

Say = Callable[[str], None]
NAME, NODE = "thousand", "node-1"
WORKER_PATH = "/api/v1/namespaces/default/pods"
DRIVER = "nvidia-dra-driver"
REST_SECONDS = 5.0


@define(eq=False)
class Member:
    """One run. `run` gives the resident memory of each process, in MiB, before the domain and after it is ready.

    `heard`: how many nodes the member's roster lists, and how many of them are ready.
    """

    crowd: Crowd
    say: Say
    rest: float = REST_SECONDS
    heard: tuple[int, int] = field(default=(0, 0), init=False)
    rack: Rack = field(init=False)
    place: Place = field(init=False)

    async def run(self) -> dict[str, dict[str, float]]:
        """The daemon's before is 0: it begins with the domain."""
        topology = Topology(nodes=1, max_nodes=max(names.MAX_NODES_PER_IMEX_DOMAIN, self.crowd.most))
        async with (
            Rack(RackSettings(topology, governed=f"!{SCRIPTED}")) as self.rack,
            Place(str(self.rack.kubeconfig)) as self.place,
        ):
            return await self._measured()

    async def _measured(self) -> dict[str, dict[str, float]]:
        await self._until("the node's devices", self._published)
        others = self.crowd.scripted(self.place, NAME, first=1)
        await offer(self.place, others)
        await asyncio.sleep(self.rest)
        before = self._held()
        domain = await self._domain()
        self.say(f"1 real node and {len(others)} scripted ones in {self.crowd.cliques} cliques")
        await self.place.create("pods", WORKER_PATH, manifests.worker("worker", NODE, f"{NAME}-channel"))
        await self._join(domain, others)
        await self._until("the worker", self._runs)
        await asyncio.sleep(self.rest)
        await self._listen(domain)
        after = self._held()
        for node in others:
            node.leave()
        return {name: {"before": before.get(name, 0.0), "after": held} for name, held in after.items()}

    async def _join(self, domain: Domain, others: list[ScriptedNode]) -> None:
        try:
            async with asyncio.timeout(self.crowd.limit):
                await asyncio.gather(*(node.join(domain) for node in others))
        except TimeoutError as error:
            raise NvdraError(f"not all nodes knew within {self.crowd.limit:.0f} s that they may go on") from error

    def _held(self) -> dict[str, float]:
        """Of those that run, in MiB."""
        found = {
            "controller": self.rack.container(CONTROL_PLANE_NODE, DRIVER, "compute-domain"),
            "kubelet-plugin": self.rack.container(NODE, DRIVER, "compute-domains"),
            "imex-daemon": self.rack.container(NODE, "", names.DAEMON_CONTAINER),
        }
        return {name: Usage.of(container.running.pid).resident for name, container in found.items() if container}

    async def _domain(self) -> Domain:
        body = {
            "apiVersion": f"{names.GROUP}/{names.VERSION}",
            "kind": "ComputeDomain",
            "metadata": {"name": NAME},
            "spec": {
                "numNodes": self.crowd.nodes,
                "channel": {"resourceClaimTemplate": {"name": f"{NAME}-channel"}},
            },
        }
        uid = (await self.place.create("computedomains", DOMAINS_PATH, body))["metadata"]["uid"]
        path = f"{SETS_PATH}/{names.daemonset_name(NAME, uid)}"
        await self._until("the domain's DaemonSet", lambda: self.place.there(path))
        return Domain(NAME, uid, await self.place.get("daemonsets", path))

    async def _listen(self, domain: Domain) -> None:
        name = names.roster_name(domain.uid, self.crowd.clique(0))
        path = f"/apis/{names.GROUP}/{names.VERSION}/namespaces/{names.DRIVER_NAMESPACE}/computedomaincliques/{name}"
        daemons: list[dict[str, Any]] = (await self.place.get("computedomaincliques", path))["daemons"]
        self.heard = (len(daemons), sum(entry["status"] == "Ready" for entry in daemons))

    async def _published(self) -> bool:
        return bool((await self.place.get("resourceslices", SLICES_PATH))["items"])

    async def _runs(self) -> bool:
        worker = await self.place.get("pods", f"{WORKER_PATH}/worker")
        return bool(worker.get("status", {}).get("phase") == "Running")

    async def _until(self, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        end = time.monotonic() + self.crowd.limit
        while not await holds():
            if time.monotonic() > end:
                raise NvdraError(f"waited {self.crowd.limit:.0f} s for {what}")
            await asyncio.sleep(0.05)
