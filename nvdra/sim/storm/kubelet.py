"""A kubelet on virtual time: claims prepared, containers kept, claims unprepared, pods removed. In that order."""

import asyncio
import contextlib
import random
from typing import Any, Final

from attrs import define, field

from nvdra.adapters.kubelet.plugin import RegistrationStatus
from nvdra.errors import Again, AlreadyExists, NvdraError
from nvdra.sim.kube import kinds
from nvdra.sim.kube.mirror import Mirror
from nvdra.sim.kube.nodes import NodeSpec, manifest
from nvdra.sim.kube.shapes import Json, dig, name, uid, with_condition
from nvdra.sim.storm.desk import Desk, Unready
from nvdra.sim.storm.fate import Odds
from nvdra.sim.storm.life import Edge
from nvdra.sim.storm.node import Node
from nvdra.sim.storm.pods import PodWorker
from nvdra.sim.storm.wire import Wire

ODDS: Final[Odds] = {"lost": 0.004, "unanswered": 0.004, "slow": 0.004}
REGISTRY_POLL: Final = 0.3
WIPE_AFTER: Final = 30.0
RECONCILE_EVERY: Final = 20.0
HEARTBEAT: Final = 20.0


@define(eq=False)
class Kubelet:
    """One start of the kubelet of one node."""

    node: Node
    edge: Edge
    wire: Wire = field(init=False)
    pods: Mirror = field(init=False)
    desk: Desk = field(init=False)
    workers: dict[str, PodWorker] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.wire = Wire(self.edge, ODDS)
        self.pods = Mirror(self.wire, kinds.PODS, fields=f"spec.nodeName={self.node.name}")
        self.desk = Desk(self.wire, self.node.disk, lambda: self.node.door)

    async def run(self) -> None:
        """Until it is killed. Containers go on without it."""
        if self.node.door is not None:
            self.node.door.registered = None
        self.pods.listen(self._heard)
        async with asyncio.TaskGroup() as group:
            for work in (self._heartbeat, self._registry, self._reconcile, self.pods.run):
                group.create_task(work())

    # The node.

    async def _heartbeat(self) -> None:
        await self._wipe()
        while True:
            with contextlib.suppress(NvdraError):
                await self._register()
            await asyncio.sleep(HEARTBEAT)

    async def _register(self) -> None:
        node = self.node
        body = manifest(NodeSpec(node.name, root=_NOWHERE), node.boot_id)
        with contextlib.suppress(AlreadyExists):
            await self.wire.create(kinds.NODES, body)
        there = await self.wire.get(kinds.NODES, node.name)
        conditions = with_condition(dig(there, "status", "conditions") or [], "Ready", "True", "KubeletReady")
        if (
            conditions != dig(there, "status", "conditions")
            or dig(there, "status", "nodeInfo", "bootID") != node.boot_id
        ):
            status = {**body["status"], "conditions": conditions}
            await self.wire.patch(kinds.NODES, node.name, {"status": status}, subresource="status")

    async def _registry(self) -> None:
        """Registers the plugin, and wipes its slices when it has been away for long."""
        away = 0.0
        while True:
            await asyncio.sleep(REGISTRY_POLL)
            door = self.node.door
            if door is None:
                away += REGISTRY_POLL
                if away >= WIPE_AFTER:
                    away = 0.0
                    await self._wipe()
                continue
            away = 0.0
            if door.registered is None:
                door.registered = RegistrationStatus(registered=True)
                door.told.set()

    async def _wipe(self) -> None:
        while True:
            try:
                found = await self.wire.list(kinds.SLICES, fields=f"spec.nodeName={self.node.name}")
                for item in found.items:
                    await self.wire.delete(kinds.SLICES, name(item), uid=uid(item))
            except Again:
                await asyncio.sleep(1.0)
            else:
                return

    # Pods.

    def _heard(self, old: Json | None, new: Json | None) -> None:
        pod: Any = new or old
        worker = self.workers.get(uid(pod))
        if worker is not None:
            worker.update(new)
        elif new is not None:
            self._take_up(new)

    def _take_up(self, pod: Json) -> None:
        worker = PodWorker(pod, self.node, self.wire, self.desk)
        self.workers[uid(pod)] = worker
        task = self.edge.run(self._work(worker))
        self.edge.on_death.append(task.cancel)  # type: ignore[arg-type]  # what it returns is of no interest

    async def _work(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception as error:  # noqa: BLE001 - the edge of an agent: a defect of the storm's own kubelet is told
            self.edge.ground.broken(f"the storm's own kubelet@{self.node.name} broke down: {error!r}")
        finally:
            self.workers.pop(uid(worker.pod), None)

    async def _reconcile(self) -> None:
        """Containers and claims of pods that are no more are let go."""
        await self.pods.synced.wait()
        while True:
            alive = {uid(pod) for pod in self.pods.values()} | set(self.workers)
            for pod_uid in [p for p in sorted({*self.node.containers, *self.desk.holders()}) if p not in alive]:
                container = self.node.containers.get(pod_uid)
                if container is not None:
                    await container.stop(2.0)
                    self.node.containers.pop(pod_uid, None)
                with contextlib.suppress(Unready):
                    await self.desk.unprepare(pod_uid)
            await asyncio.sleep(random.uniform(0.5, 1.0) * RECONCILE_EVERY)


_NOWHERE: Any = None
"""A node of the storm has no folder."""
