"""Many nodes join one ComputeDomain: at once, or one after another over some seconds. All that it costs is counted."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from attrs import define, field, frozen

from nvdra.api import names
from nvdra.errors import NvdraError
from nvdra.sim.scale.controller import ControllerProcess, State
from nvdra.sim.scale.crowd import SLICES_PATH, Crowd, offer
from nvdra.sim.scale.place import AGENT, DOMAINS_PATH, Place, told
from nvdra.sim.scale.proc import Usage, load
from nvdra.sim.scale.scripted import DAEMON, PLUGIN, PODS_PATH, Domain, ScriptedNode
from nvdra.sim.scale.seeding import SETS_PATH
from nvdra.sim.scale.wire import Ask, Tally

Say = Callable[[str], None]
Figures = dict[str, Any]
SAMPLE_SECONDS = 0.5
AFTERMATH_SECONDS = 4.0
"""What is said late, at the slowest pace of a roster, counts too."""


@define(eq=False)
class Joining:
    """One run. `run` gives the figures."""

    crowd: Crowd
    place: Place
    say: Say
    ready_at: float = field(default=0.0, init=False)
    arrived_at: float = field(default=0.0, init=False)
    """When the last node came."""
    status_events: int = field(default=0, init=False)
    status_bytes: int = field(default=0, init=False)
    queue: list[int] = field(factory=list, init=False)
    nodes: list[ScriptedNode] = field(factory=list, init=False)
    name: str = field(factory=lambda: f"scale-{os.urandom(3).hex()}", init=False)
    """Of the domain, and before the nodes' names: an API server may be used more than once."""

    async def run(self) -> Figures:
        """From an empty place to a domain whose nodes all know that it is ready."""
        self.nodes = self.crowd.scripted(self.place, self.name)
        await offer(self.place, self.nodes)  # before anybody asks
        arguments = ("--max-nodes-per-imex-domain", str(max(names.MAX_NODES_PER_IMEX_DOMAIN, self.crowd.most)))
        async with ControllerProcess(self.place, arguments) as controller:
            await controller.quiet(120)
            domain = await self._domain(controller)
            self.say(f"{self.crowd.nodes} nodes in {self.crowd.cliques} cliques over {self.crowd.over:g} s")
            figures = await self._race(controller, domain)
            figures |= await self._end(controller)
        await self._tidy()
        return figures

    async def _end(self, controller: ControllerProcess) -> Figures:
        """The domain is deleted: every node is given back."""
        before, began, path = await controller.state(), time.monotonic(), f"{DOMAINS_PATH}/{self.name}"
        usage = controller.usage()
        await self.place.delete("computedomains", path)
        async with asyncio.timeout(self.crowd.limit):
            while await self.place.there(path):  # noqa: ASYNC110 - another program ends it
                await asyncio.sleep(0.1)
        took = time.monotonic() - began
        spent = (await controller.state()).since(before)
        return {
            "deleted: gone after, s": round(took, 2),
            "deleted: writes of the controller": sum(spent.writes().values()),
            "deleted: writes of the controller, by kind": spent.writes(),
            "deleted: controller CPU, s": round(controller.usage().cpu - usage.cpu, 2),
        }

    async def _tidy(self) -> None:
        """An API server that is used again is not to remember these nodes; nobody else deletes their pods there."""
        if self.place.embedded:
            return
        nodes = (f"/api/v1/nodes/{node.name}" for node in self.nodes)
        slices = (f"{SLICES_PATH}/{node.slice_name}" for node in self.nodes)
        pods = (f"{PODS_PATH}/{node.pod_name}?gracePeriodSeconds=0" for node in self.nodes)
        await asyncio.gather(*(self.place.delete("leftovers", path) for path in (*pods, *slices, *nodes)))

    async def _domain(self, controller: ControllerProcess) -> Domain:
        channel = {"resourceClaimTemplate": {"name": f"{self.name}-channel"}}
        body = {
            "apiVersion": f"{names.GROUP}/{names.VERSION}",
            "kind": "ComputeDomain",
            "metadata": {"name": self.name},
            "spec": {"numNodes": self.crowd.nodes, "channel": channel},
        }
        uid = (await self.place.create("computedomains", DOMAINS_PATH, body))["metadata"]["uid"]
        await controller.quiet(60)
        path = f"{SETS_PATH}/{names.daemonset_name(self.name, uid)}"
        return Domain(self.name, uid, await self.place.get("daemonsets", path))

    async def _race(self, controller: ControllerProcess, domain: Domain) -> Figures:
        before = _Sight(await controller.state(), controller.usage(), self.place.cpu(), await self.place.watched())
        tally = self.place.wire.tally = Tally()
        path = f"{DOMAINS_PATH}?fieldSelector=metadata.name%3D{self.name}&watch=true"
        line = await self.place.wire.watch(Ask(AGENT, "watch", "computedomains", path), self._saw)
        sampler = asyncio.create_task(self._sample(controller))
        own, began = time.process_time(), time.monotonic()
        try:
            async with asyncio.timeout(self.crowd.limit):
                order = Random(0).sample(self.nodes, len(self.nodes))  # no clique is full before the others
                await asyncio.gather(*(self._arrive(place, node, domain) for place, node in enumerate(order)))
                while not self.ready_at:  # noqa: ASYNC110 - the watch writes it
                    await asyncio.sleep(0.01)
        except TimeoutError as error:
            raise NvdraError(await self._stuck()) from error
        finally:
            sampler.cancel()
            self.place.wire.forget(line)
        own = time.process_time() - own
        await asyncio.sleep(AFTERMATH_SECONDS)
        after = _Sight(await controller.state(), controller.usage(), self.place.cpu(), await self.place.watched())
        for node in self.nodes:
            node.leave()
        return self._told(before, after, tally, (began, own))

    async def _arrive(self, place: int, node: ScriptedNode, domain: Domain) -> None:
        await asyncio.sleep(self.crowd.over * place / self.crowd.nodes)
        self.arrived_at = time.monotonic()
        await node.join(domain)

    def _saw(self, line: bytes) -> None:
        self.status_events += 1
        self.status_bytes = len(line)
        type_, domain = told(line)
        if type_ == "MODIFIED" and domain.get("status", {}).get("status") == "Ready" and not self.ready_at:
            self.ready_at = time.monotonic()

    async def _sample(self, controller: ControllerProcess) -> None:
        while True:
            self.queue.append((await controller.state()).waiting)
            done = sum(bool(node.daemon_ready) for node in self.nodes)
            if len(self.queue) % 20 == 0:
                self.say(f"  {done} daemons are ready; {self.queue[-1]} keys wait in the controller")
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _stuck(self) -> str:
        status = (await self.place.get("computedomains", f"{DOMAINS_PATH}/{self.name}")).get("status", {})
        ready = sum(bool(node.daemon_ready) for node in self.nodes)
        said = "; ".join(f"{c['type']}={c['status']}: {c['message']}" for c in status.get("conditions", ()))
        return f"not ready within {self.crowd.limit:.0f} s; {ready} daemons are ready; {said}"

    def _told(self, before: "_Sight", after: "_Sight", tally: Tally, times: tuple[float, float]) -> Figures:
        began, own = times
        spent, last = after.state.since(before.state), max(node.daemon_ready for node in self.nodes)
        writes = spent.writes()
        nodes = self.crowd.nodes
        by_nodes = sum(n for a, n in tally.requests.items() if a.agent == PLUGIN and a.verb == "patch")
        heard = sum(tally.watched[agent] for agent in (PLUGIN, DAEMON))
        watched = {agent: n - before.watched.get(agent, 0) for agent, n in after.watched.items()}
        return {
            "nodes": nodes,
            "cliques": self.crowd.cliques,
            "arrive over, s": self.crowd.over,
            "writes of the controller": sum(writes.values()),
            "writes of the controller, by kind": writes,
            "writes of the plugins": by_nodes,
            "writes of controller and plugins a node": round((sum(writes.values()) + by_nodes) / nodes, 3),
            "writes of others": _others(tally),
            "conflicts": spent.conflicts() + sum(n for a, n in tally.requests.items() if a.code == 409),
            "requests of the controller": spent.total,
            "first node to last daemon ready, s": round(last - began, 2),
            "last node came to domain Ready, s": round(self.ready_at - self.arrived_at, 2),
            "last daemon ready to domain Ready, s": round(self.ready_at - last, 2),
            "last daemon ready to last node told, s": round(max(node.told for node in self.nodes) - last, 2),
            "bytes to nodes, MB": round(heard / 1e6, 2),
            "bytes to a node, kB": round(heard / nodes / 1e3, 1),
            "events of a roster to a node": round(sum(node.heard for node in self.nodes) / nodes / 2, 1),
            "bytes to the controller, MB": round(watched["nvdra-controller"] / 1e6, 2) if watched else None,
            "versions of the ComputeDomain": self.status_events,
            "its size at the end, kB": round(self.status_bytes / 1e3, 1),
            "most keys waiting": max(self.queue, default=0),
            "controller CPU, s": round(after.usage.cpu - before.usage.cpu, 2),
            "controller CPU a node, ms": round((after.usage.cpu - before.usage.cpu) * 1e3 / nodes, 1),
            "controller memory before, MiB": round(before.usage.resident),
            "controller memory after, MiB": round(after.usage.resident),
            "controller memory at its peak, MiB": round(after.usage.peak),
            "API server CPU, s": round(after.server - before.server, 2) if self.place.pids else None,
            "CPU of the scripted nodes, s": round(own, 2),
            "load of the machine": round(load(), 1),
        }


@frozen
class _Sight:
    """Everything that is counted, at one moment."""

    state: State
    usage: Usage
    server: float
    watched: Mapping[str, int]


def _others(tally: Tally) -> dict[str, int]:
    """Writes that are not the driver's: DaemonSet controller, scheduler, kubelets."""
    found: Counter[str] = Counter()
    for ask, number in tally.requests.items():
        if ask.verb in ("create", "patch") and not ask.agent.startswith("nvdra-"):
            found[f"{ask.agent} {ask.verb} {ask.resource}"] += number
    return dict(sorted(found.items()))
