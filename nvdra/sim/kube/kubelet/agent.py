"""One kubelet: a worker for each pod bound to its node, the node's plugins, and the claims between them."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from attrs import define, field

from nvdra.errors import NvdraError
from nvdra.sim.kube import kinds
from nvdra.sim.kube.kubelet.claims import ClaimDesk, UnprepareError
from nvdra.sim.kube.kubelet.plugins import PluginRegistry
from nvdra.sim.kube.kubelet.settings import Settings
from nvdra.sim.kube.kubelet.worker import PodWorker, Tools
from nvdra.sim.kube.mirror import Mirror
from nvdra.sim.kube.recorder import Recorder
from nvdra.sim.kube.removal import NodeCluster
from nvdra.sim.kube.runtime.containers import Runtime
from nvdra.sim.kube.shapes import Json, name, node_of, uid

_log = logging.getLogger(__name__)
_RETRY: Final = 1.0
Hear = Callable[[Json | None, Json | None], None]


class PodFeed:
    """One watch of pods for all kubelets of the rack: each hears of the pods of its node only."""

    def __init__(self, pods: Mirror) -> None:
        self._hear: dict[str, Hear] = {}
        self._by_node: dict[str, dict[str, Json]] = {}
        pods.listen(self._changed)

    def subscribe(self, node: str, hear: Hear) -> None:
        """Hear of the node's pods from now on, and at once of those that are there."""
        self._hear[node] = hear
        for pod in self.pods_of(node):
            hear(None, pod)

    def unsubscribe(self, node: str) -> None:
        """Hear no more."""
        self._hear.pop(node, None)

    def reaches(self, node: str) -> bool:
        """Somebody hears of the node's pods; not so while the node is cut off."""
        return node in self._hear

    def pods_of(self, node: str) -> list[Json]:
        """The pods bound to a node."""
        return list(self._by_node.get(node, {}).values())

    def _changed(self, old: Json | None, new: Json | None) -> None:
        before = old if old is not None and node_of(old) else None
        after = new if new is not None and node_of(new) else None
        pod = after or before
        if pod is None:
            return
        there = self._by_node.setdefault(node_of(pod), {})
        if before is not None:
            there.pop(uid(before), None)
        if after is not None:
            there[uid(after)] = after
        hear = self._hear.get(node_of(pod))
        if hear is None:
            return
        if before is not None and after is not None and uid(before) != uid(after):
            hear(before, None)
            before = None
        hear(before, after)


@define(eq=False)
class Kubelet:
    """The kubelet of one node. `stop` and `start` again is a restart: containers go on meanwhile."""

    cluster: NodeCluster
    node: str
    runtime: Runtime
    feed: PodFeed
    settings: Settings = field(factory=Settings)
    plugins: PluginRegistry = field(init=False)
    _claims: ClaimDesk = field(init=False)
    _workers: dict[str, tuple[PodWorker, asyncio.Task[None]]] = field(factory=dict, init=False)
    _wipes: dict[str, asyncio.Task[None]] = field(factory=dict, init=False)
    _tasks: list[asyncio.Task[None]] = field(factory=list, init=False)

    async def start(self) -> None:
        """Wipe the node's slices, look for plugins, take up the node's pods."""
        folder = self.runtime.node_root / "var/lib/kubelet"
        folder.mkdir(parents=True, exist_ok=True)
        registry = folder / "plugins_registry"
        self.plugins = PluginRegistry(
            registry, self.runtime.node_root, self.settings.registry_poll, self._plugin_changed
        )
        self._claims = ClaimDesk(self.cluster, self.plugins.find, folder / "dra_manager_state")
        self._tasks = [
            asyncio.ensure_future(self._wipe("")),
            asyncio.ensure_future(self.plugins.run()),
            asyncio.ensure_future(self._reconcile()),
        ]
        self.feed.subscribe(self.node, self._heard)

    async def stop(self) -> None:
        """Stop without touching a container."""
        self.feed.unsubscribe(self.node)
        tasks = [*self._tasks, *self._wipes.values(), *(task for _, task in self._workers.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._workers.clear()
        self._wipes.clear()

    async def restart(self) -> None:
        """What was prepared is forgotten, what is checkpointed is not."""
        await self.stop()
        await self.start()

    def resync(self) -> None:
        """After a time of not hearing: take in what is there now, and who is gone."""
        there = {uid(pod): pod for pod in self.feed.pods_of(self.node)}
        for pod_uid, (worker, _) in list(self._workers.items()):
            if pod_uid not in there:
                worker.update(None)
        self.feed.subscribe(self.node, self._heard)

    # Pods.

    def _heard(self, old: Json | None, new: Json | None) -> None:
        pod = new or old
        if pod is None:
            return
        known = self._workers.get(uid(pod))
        if known is not None:
            known[0].update(new)
        elif new is not None:
            self._take_up(new)

    def _take_up(self, pod: Json) -> None:
        events = Recorder(self.cluster, "kubelet", self.node)
        worker = PodWorker(pod, Tools(self.cluster, self.runtime, self._claims, events, self.settings))
        task = asyncio.ensure_future(self._work(worker))
        self._workers[uid(pod)] = (worker, task)
        task.add_done_callback(lambda done: self._worker_done(uid(pod), done))

    async def _work(self, worker: PodWorker) -> None:
        while True:
            try:
                await worker.run()
            except Exception:  # noqa: BLE001 - the edge of an agent: one bad pod must not stop the node, nor be forgotten
                _log.exception("kubelet of %s: worker of pod %s failed", self.node, name(worker.pod))
            else:
                return
            await asyncio.sleep(_RETRY)

    def _worker_done(self, pod_uid: str, task: "asyncio.Task[None]") -> None:
        known = self._workers.get(pod_uid)
        if known is not None and known[1] is task:
            del self._workers[pod_uid]

    async def _reconcile(self) -> None:
        """Claims and sandboxes of pods that are no more are let go, now and every minute."""
        while True:
            await asyncio.sleep(0)
            if not self.feed.reaches(self.node):
                await asyncio.sleep(self.settings.reconcile_every)
                continue
            alive = {uid(pod) for pod in self.feed.pods_of(self.node)} | set(self._workers)
            for pod_uid in (set(self.runtime.sandboxes) | self._claims.holders()) - alive:
                await self.runtime.remove(pod_uid)
                try:
                    await self._claims.unprepare(pod_uid)
                except UnprepareError as error:
                    _log.debug("kubelet of %s: %s", self.node, error)
            await asyncio.sleep(self.settings.reconcile_every)

    # Slices.

    def _plugin_changed(self, driver: str, usable: bool) -> None:
        pending = self._wipes.pop(driver, None)
        if pending is not None:
            pending.cancel()
        if not usable:
            self._wipes[driver] = asyncio.ensure_future(self._wipe(driver, self.settings.wipe_slices_after))

    async def _wipe(self, driver: str, after: float = 0) -> None:
        await asyncio.sleep(after)
        fields = f"spec.nodeName={self.node}" + (f",spec.driver={driver}" if driver else "")
        while True:
            try:
                listing = await self.cluster.list(kinds.SLICES, fields=fields)
                for item in listing.items:
                    await self.cluster.delete(kinds.SLICES, name(item), uid=uid(item))
            except NvdraError as error:
                _log.debug("kubelet of %s: slices not wiped: %s", self.node, error)
            else:
                return
            await asyncio.sleep(_RETRY)
