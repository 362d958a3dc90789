"""The whole of it: API server, control plane, nodes, controllers, on one virtual clock; and its observer."""

import asyncio
import contextlib
import functools
import random
from typing import Any, Final

from attrs import define, field, frozen

from nvdra.api import names
from nvdra.api.kind import Kind
from nvdra.api.kinds import NODES, RESOURCE_SLICES
from nvdra.apps.controller import Controller, ControllerSettings
from nvdra.engine.engine import Engine
from nvdra.errors import NvdraError
from nvdra.sim import manifests
from nvdra.sim.apiserver.collection import Change
from nvdra.sim.apiserver.collector import Collector
from nvdra.sim.apiserver.inprocess import InProcess
from nvdra.sim.apiserver.store import ObjectStore
from nvdra.sim.apiserver.watching import Hub
from nvdra.sim.kube import kinds
from nvdra.sim.kube.controlplane import ControlPlane
from nvdra.sim.kube.shapes import WALL, Json, dig, holds, name, namespace, with_condition
from nvdra.sim.storm.clockwork import clock, wall
from nvdra.sim.storm.fate import Fate
from nvdra.sim.storm.imex import Instance
from nvdra.sim.storm.life import Edge, Life, Sight
from nvdra.sim.storm.node import Container, Node, Witness
from nvdra.sim.storm.observer import Observer
from nvdra.sim.storm.trace import Trace
from nvdra.sim.storm.view import View
from nvdra.sim.storm.wire import Wire

_NAMESPACES: Kind[dict[str, Any]] = Kind(dict, "Namespace", "namespaces", namespaced=False)
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
LOST_AFTER: Final = 40.0
LOOKS_EVERY: Final = 10.0


@frozen
class Shape:
    """How large a world is: its nodes' cliques (0: no fabric), and how many controllers stand by."""

    cliques: tuple[int, ...] = (1, 1)
    controllers: int = 2


@functools.cache
def _crds() -> tuple[dict[str, Any], ...]:
    """Read once a process, not once a world."""
    return tuple(manifests.crds())


class _SeeingHub(Hub):
    """Tells the observer of each commit, before anybody else hears of it."""

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer

    def publish(self, change: Change) -> None:
        """Offer a change."""
        self._observer.saw(change)
        super().publish(change)


class _Garbage(Collector):
    """Ownership garbage collection: what it does is not done by whoever deleted the owner."""

    def __init__(self, world: "World") -> None:
        super().__init__(world.store)
        self._world = world

    def note(self, change: Change) -> None:
        """Look at a commit."""
        before, self._world.writer = self._world.writer, "kube"
        try:
            super().note(change)
        finally:
            self._world.writer = before


@define(eq=False)
class World(Witness):
    """One world of one seed."""

    fate: Fate
    shape: Shape = field(factory=Shape)
    trace: Trace = field(factory=Trace)
    sight: Sight = field(factory=Sight)
    store: ObjectStore = field(init=False)
    view: View = field(init=False)
    user: InProcess = field(init=False)
    observer: Observer = field(init=False)
    plane: ControlPlane = field(init=False)
    nodes: dict[str, Node] = field(factory=dict, init=False)
    controllers: list[Life] = field(factory=list, init=False)
    engines: dict[str, Engine] = field(factory=dict, init=False)
    writer: str = field(default="kube", init=False)
    away: bool = field(default=False, init=False)
    forced: set[str] = field(factory=set, init=False)
    faults: list[str] = field(factory=list, init=False)
    _lost: dict[str, float] = field(factory=dict, init=False)
    _monitor: "asyncio.Task[None] | None" = field(default=None, init=False)

    async def start(self) -> None:
        """From nothing to a rack with the driver on it, its devices published."""
        random.seed(self.fate.seed)
        WALL.set(wall)
        self.store = ObjectStore(clock=wall, random=random.Random(self.fate.seed))
        self.view, self.user = View(self.store), InProcess(self.store, "user")
        self.observer = Observer(self)
        self.store.hub, self.store.collector = _SeeingHub(self.observer), _Garbage(self)
        await self._installed()
        for number, clique in enumerate(self.shape.cliques):
            self._add_node(f"n{number}", clique)
        self.plane = ControlPlane(InProcess(self.store, "kube"), {n.name: n.clique_id for n in self.nodes.values()})
        await self.plane.start()
        self._monitor = asyncio.ensure_future(self._follow_nodes())
        for node in self.nodes.values():
            node.start()
        for number in range(self.shape.controllers):
            life = Life(f"controller-{number}", self, self._controller)
            self.controllers.append(life)
            life.start()
        await self.until(lambda: len(self.view.all(RESOURCE_SLICES)) == len(self.nodes), 120.0)

    async def stop(self) -> None:
        """Everything ends."""
        for life in self.lives():
            life.hold(True)
        for node in self.nodes.values():
            for container in node.containers.values():
                container.kill()
        if self._monitor is not None:
            self._monitor.cancel()
        await self.plane.stop()

    async def until(self, holds_: Any, limit: float, step: float = 0.5) -> bool:
        """Wait until something is so; False when it is not so in time."""
        end = clock() + limit
        while not holds_():
            if clock() >= end or self.faults:
                return False
            await asyncio.sleep(step)
        return True

    def lives(self) -> list[Life]:
        """Every process that has a supervisor."""
        return [*self.controllers, *(life for node in self.nodes.values() for life in (node.plugin, node.kubelet))]

    # Witness.

    def reaches(self, node: str) -> bool:
        """Whether the API server is reached from there."""
        there = self.nodes.get(node)
        return not self.away and (there is None or (there.up and not there.cut))

    def broken(self, text: str) -> None:
        """What must never be, is."""
        self.trace.note("broken", text, to="API")
        self.faults.append(text)

    def imex_began(self, node: Node, instance: Instance) -> None:
        """Told on."""
        self.trace.note("node", f"nvidia-imex starts at index {instance.index} of {instance.program.domain}", node.name)
        self.observer.imex(node, instance)

    def worker_began(self, node: Node, container: Container) -> None:
        """Told on."""
        text = f"worker {container.pod['metadata']['name']} starts with {', '.join(container.devices) or 'no device'}"
        self.trace.note("node", text, node.name)
        self.observer.worker(node, container)

    # What there is.

    async def _installed(self) -> None:
        for name_ in ("default", "kube-system", names.DRIVER_NAMESPACE):
            with contextlib.suppress(NvdraError):
                await self.user.create(_NAMESPACES, manifests.namespace(name_))
        for crd in _crds():
            await self.user.create(kinds.CRDS, crd)
        for device_class in manifests.device_classes():
            await self.user.create(kinds.CLASSES, device_class)

    def _add_node(self, name_: str, clique: int) -> None:
        node = Node(name_, clique, self)
        node.disk.changed = lambda path: self.observer.disk(node, path)
        self.nodes[name_] = node

    async def _controller(self, edge: Edge) -> None:
        settings = ControllerSettings(pod_name=edge.name, elect=self.shape.controllers > 1)
        wire = Wire(edge)
        self.engines.pop(edge.name, None)
        watch = lambda engine: self.engines.__setitem__(edge.name, engine)  # noqa: E731 - one line
        await Controller(wire, settings=settings, wall=wall, watch_engine=watch).run()

    # What the node lifecycle controller does.

    async def _follow_nodes(self) -> None:
        while True:
            await asyncio.sleep(LOOKS_EVERY)
            for node in self.nodes.values():
                if self.reaches(node.name) and node.kubelet.alive:
                    self._lost.pop(node.name, None)
                    await self._found(node.name)
                elif clock() - self._lost.setdefault(node.name, clock()) >= LOST_AFTER:
                    await self._missing(node.name)

    async def _found(self, name_: str) -> None:
        node = self.view.find(NODES, name_)
        taints = [t for t in dig(node, "spec", "taints") or () if t["key"] != UNREACHABLE]
        if node is not None and taints != (dig(node, "spec", "taints") or []):
            await self.user.patch(kinds.NODES, name_, {"spec": {"taints": taints}})

    async def _missing(self, name_: str) -> None:
        node = self.view.find(NODES, name_)
        if node is None or not holds(node, "Ready"):
            return
        conditions = with_condition(dig(node, "status", "conditions") or [], "Ready", "Unknown", "NodeStatusUnknown")
        await self.user.patch(kinds.NODES, name_, {"status": {"conditions": conditions}}, subresource="status")
        taint = [{"key": UNREACHABLE, "effect": effect} for effect in ("NoSchedule", "NoExecute")]
        await self.user.patch(kinds.NODES, name_, {"spec": {"taints": taint}})
        for pod in self.view.all(kinds.PODS):
            if dig(pod, "spec", "nodeName") == name_ and holds(pod, "Ready"):
                await self._unready(pod)

    async def _unready(self, pod: Json) -> None:
        conditions = with_condition(dig(pod, "status", "conditions") or [], "Ready", "False")
        patch = {"status": {"conditions": conditions}}
        await self.user.patch(kinds.PODS, name(pod), patch, namespace(pod), subresource="status")
