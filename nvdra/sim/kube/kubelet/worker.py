"""The life of one pod on one node: claims prepared, containers kept, claims unprepared, pod removed. In that order."""

import asyncio
import random
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from attrs import define, evolve, field, frozen

from nvdra.errors import Again, NotFound
from nvdra.sim.kube import kinds
from nvdra.sim.kube.kubelet.claims import ClaimDesk, PrepareError, UnprepareError
from nvdra.sim.kube.kubelet.keeper import Keeper, Means
from nvdra.sim.kube.kubelet.settings import Settings
from nvdra.sim.kube.kubelet.status import PodView, View, status_of
from nvdra.sim.kube.kubelet.volumes import Material
from nvdra.sim.kube.recorder import Recorder
from nvdra.sim.kube.removal import NodeCluster, remove
from nvdra.sim.kube.runtime.containers import Runtime
from nvdra.sim.kube.shapes import Json, deleting, dig, finished, name, namespace, now, uid

_RETRY: Final = 1.0


@frozen
class Tools:
    """What all pods of a node share."""

    cluster: NodeCluster
    runtime: Runtime
    claims: ClaimDesk
    events: Recorder
    settings: Settings


@define(eq=False)
class PodWorker:
    """One pod."""

    pod: Json
    tools: Tools
    _touched: asyncio.Event = field(factory=asyncio.Event, init=False)
    _leaving: asyncio.Event = field(factory=asyncio.Event, init=False)
    _gone: asyncio.Event = field(factory=asyncio.Event, init=False)
    _dirty: asyncio.Event = field(factory=asyncio.Event, init=False)
    _keepers: list[Keeper] = field(factory=list, init=False)
    _init: list[Keeper] = field(factory=list, init=False)
    _restarts: dict[str, int] = field(factory=dict, init=False)
    _started_at: str = field(factory=now, init=False)
    _over: bool = field(default=False, init=False)
    _refused: tuple[str, str] | None = field(default=None, init=False)

    def update(self, pod: Json | None) -> None:
        """The pod as it is now; None when it is no more. Only metadata and spec wake a waiting worker."""
        if pod is None:
            self._gone.set()
            self._leaving.set()
            self._touched.set()
            return
        old, self.pod = self.pod, pod
        if _touchable(old) != _touchable(pod):
            self._touched.set()
        if deleting(pod):
            self._leaving.set()

    async def run(self) -> None:
        """From the binding until the pod is no more."""
        if deleting(self.pod):
            self._leaving.set()
        self._started_at = dig(self.pod, "status", "startTime") or self._started_at
        self._restarts = _restarts(self.pod)
        reporter = asyncio.ensure_future(self._reporter())
        try:
            if not finished(self.pod):
                await self._live()
        finally:
            reporter.cancel()
            await asyncio.gather(reporter, return_exceptions=True)
        await self._end()

    async def _live(self) -> None:
        self._refused = _refusal(self.pod)
        known = uid(self.pod) in self.tools.runtime.sandboxes
        lost = not known and self._restarts and self.pod["spec"].get("restartPolicy") == "Never"
        if not self._refused and not lost and (known or await self._prepared()):
            await self._contained()

    async def _end(self) -> None:
        """Containers stopped, claims let go, last status told; then, when it is to go, the pod removed."""
        await self._stopped()
        await self._unprepared()
        self._over = True
        if not finished(self.pod) and not self._gone.is_set():
            await self._told()
        await self._leaving.wait()
        if not self._gone.is_set():
            await self._removed()
        await self.tools.runtime.remove(uid(self.pod))

    # Claims.

    async def _prepared(self) -> bool:
        """Prepare until it works: again after a while, or at once when the pod is touched. False: it is leaving."""
        while not self._leaving.is_set():
            self._touched.clear()
            self._dirty.set()
            if await self._unless_leaving(self._prepare()):
                return True
            await _within(self._touched, random.uniform(*self.tools.settings.prepare_retry))
        return False

    async def _unless_leaving(self, work: Coroutine[Any, Any, bool]) -> bool:
        """The outcome of some work; given up, and False, once the pod is to go."""
        task = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self._leaving.wait())
        try:
            await asyncio.wait([task, leaving], return_when=asyncio.FIRST_COMPLETED)
            return not leaving.done() and task.result()
        finally:
            for one in (task, leaving):
                one.cancel()
            await asyncio.gather(task, leaving, return_exceptions=True)

    async def _prepare(self) -> bool:
        try:
            await self.tools.claims.prepare(self.pod)
        except PrepareError as error:
            text = f"Failed to prepare dynamic resources: {error}"
            await self._tell("FailedPrepareDynamicResources", text, warning=True)
            return False
        except Again as error:
            await self._tell("FailedSync", f"error determining status: {error}", warning=True)
            return False
        return True

    async def _unprepared(self) -> None:
        while True:
            try:
                await self.tools.claims.unprepare(uid(self.pod))
            except UnprepareError as error:
                text = f"failed to unprepare dynamic resources: {error}"
                await self._tell("FailedToUnprepareDynamicResources", text, warning=True)
            else:
                return
            await asyncio.sleep(random.uniform(*self.tools.settings.unprepare_retry))

    # Containers.

    async def _contained(self) -> None:
        """Run all containers until they are over for good or the pod is leaving."""
        sandbox = self.tools.runtime.sandbox(self.pod)
        for container, count in self._restarts.items():
            sandbox.restarts.setdefault(container, count)
        self._make_keepers()
        self._dirty.set()
        if not self._leaving.is_set():
            await self._unless_leaving(self._run_all())

    async def _run_all(self) -> bool:
        for keeper in self._init:
            if await keeper.run() != 0:
                return False
        tasks = [asyncio.ensure_future(keeper.run()) for keeper in self._keepers]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return True

    def _make_keepers(self) -> None:
        material = Material(self.tools.cluster, self.tools.runtime.node_root, self.pod)
        tools = self.tools
        ids = tools.claims.cdi_ids if tools.settings.cdi else _no_cdi
        means = Means(tools.runtime, tools.settings, ids, self._say, self._dirty.set)
        policy = self.pod["spec"].get("restartPolicy") or "Always"
        first = "Never" if policy == "Never" else "OnFailure"

        def keepers(specs: Sequence[Json], how: str) -> list[Keeper]:
            return [Keeper(lambda: self.pod, spec, how, material, means) for spec in specs]

        self._keepers = keepers(self.pod["spec"]["containers"], policy)
        self._init = keepers(self.pod["spec"].get("initContainers") or (), first)

    async def _stopped(self) -> None:
        sandbox = self.tools.runtime.sandboxes.get(uid(self.pod))
        if sandbox is None:
            return
        await sandbox.settled()
        running = [container for container in sandbox.containers.values() if container.ended is None]
        for container in running:
            await self._say(container.name, "Killing", f"Stopping container {container.name}")
        await asyncio.gather(*(container.stop(self._grace()) for container in running))

    def _grace(self) -> float:
        for grace in (
            self.pod["metadata"].get("deletionGracePeriodSeconds"),
            self.pod["spec"].get("terminationGracePeriodSeconds"),
        ):
            if grace is not None:
                return float(grace)
        return 30

    # Telling.

    async def _reporter(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if not await self._report():
                asyncio.get_running_loop().call_later(_RETRY, self._dirty.set)

    async def _told(self) -> None:
        while not self._gone.is_set() and not await self._report():
            await _within(self._gone, _RETRY)

    async def _report(self) -> bool:
        """Write the status if it differs. False: it has to be tried again."""
        status = status_of(self.pod, self._view())
        if status == {k: v for k, v in (self.pod.get("status") or {}).items() if k in status}:
            return True
        patch = {"metadata": {"uid": uid(self.pod)}, "status": status}
        where, cluster = namespace(self.pod), self.tools.cluster
        try:
            done = await cluster.patch(kinds.PODS, name(self.pod), patch, where, subresource="status")
        except NotFound:
            return True
        except Again:
            return False
        self.pod = {**self.pod, "status": done["status"]}
        return True

    def _view(self) -> PodView:
        sandbox = self.tools.runtime.sandboxes.get(uid(self.pod))
        keepers: Sequence[View] = [keeper.view() for keeper in self._keepers] if sandbox else []
        first: Sequence[View] = [keeper.view() for keeper in self._init] if sandbox else []
        if self._over:
            keepers, first = [_settled(view) for view in keepers], [_settled(view) for view in first]
        counts = self._restarts
        waiting = [View(spec, restarts=counts.get(spec["name"], 0)) for spec in self.pod["spec"]["containers"]]
        ip = sandbox.ip if sandbox else ""
        return PodView(keepers or waiting, first, ip, self._started_at, self._over, self._refused)

    async def _removed(self) -> None:
        while not self._gone.is_set():
            try:
                await remove(self.tools.cluster, self.pod)
            except Again:
                await _within(self._gone, _RETRY)
            else:
                return

    async def _say(self, container: str, reason: str, message: str, *, warning: bool = False) -> None:
        part = f"spec.containers{{{container}}}"
        await self.tools.events.tell(self.pod, "Pod", reason, message, warning=warning, part=part)

    async def _tell(self, reason: str, message: str, *, warning: bool = False) -> None:
        await self.tools.events.tell(self.pod, "Pod", reason, message, warning=warning)


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _settled(view: View) -> View:
    return evolve(view, waiting=None if view.current else ("ContainerCreating", ""))


def _no_cdi(_pod: Json, _container: Json) -> tuple[str, ...]:
    return ()


def _touchable(pod: Json) -> Json:
    """What of a pod starts a new sync when it changes: not the status, nor what only counts versions."""
    bookkeeping = {"resourceVersion", "managedFields", "generation"}
    return {"spec": pod["spec"], "metadata": {k: v for k, v in pod["metadata"].items() if k not in bookkeeping}}


def _restarts(pod: Json) -> dict[str, int]:
    """Restart counts of the containers that ran here before: under another kubelet, or before a reboot."""
    statuses = dig(pod, "status", "containerStatuses") or ()
    return {status["name"]: status["restartCount"] for status in statuses if status.get("containerID")}


def _refusal(pod: Json) -> tuple[str, str] | None:
    for container in pod["spec"].get("initContainers") or ():
        if container.get("restartPolicy"):
            return "UnsupportedByRack", f"init container {container['name']} is a sidecar, which the rack does not know"
    if pod["spec"].get("hostNetwork"):
        return "UnsupportedByRack", "the rack has no hostNetwork: every pod has an address of its own"
    return None
