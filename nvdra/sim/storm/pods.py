"""The life of one pod on a node of the storm, as its kubelet leads it."""

import asyncio
import json
import random
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from nvdra.api import names
from nvdra.errors import Again, NotFound
from nvdra.sim.kube import kinds
from nvdra.sim.kube.removal import remove
from nvdra.sim.kube.shapes import Json, annotations, deleting, dig, finished, name, namespace, now, uid, with_condition
from nvdra.sim.storm.desk import Desk, Unready
from nvdra.sim.storm.node import CDI, Container, Node
from nvdra.sim.storm.wire import Wire

PREPARE_RETRY: Final = (60.0, 90.0)
UNPREPARE_RETRY: Final = (10.0, 15.0)
RETRY: Final = 1.0
LOOK: Final = 0.5
READINESS: Final = 10.0
RUNS_FOR: Final = "storm/runs-for"
"""Annotation of a worker that ends by itself: seconds."""


class Unresolvable(Exception):
    """A CDI device is not there."""


@define(eq=False)
class PodWorker:
    """One pod, under one kubelet process."""

    pod: Json
    node: Node
    wire: Wire
    desk: Desk
    _touched: asyncio.Event = field(factory=asyncio.Event, init=False)
    _leaving: asyncio.Event = field(factory=asyncio.Event, init=False)
    _gone: bool = field(default=False, init=False)
    _over: bool = field(default=False, init=False)
    _why: str = field(default="ContainerCreating", init=False)

    def update(self, pod: Json | None) -> None:
        """The pod as it is now; None when it is no more."""
        if pod is None:
            self._gone = True
            self._leaving.set()
            return
        old, self.pod = self.pod, pod
        if _meta(old) != _meta(pod):
            self._touched.set()
        if deleting(pod):
            self._leaving.set()

    async def run(self) -> None:
        """From the binding until the pod is no more."""
        if deleting(self.pod):
            self._leaving.set()
        if not finished(self.pod):
            await self._unless_leaving(self._live())
        await self._end()

    async def _unless_leaving(self, work: Coroutine[Any, Any, Any]) -> None:
        task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(self._leaving.wait())
        try:
            await asyncio.wait([task, leaving], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            task.cancel()
            leaving.cancel()
            await asyncio.gather(task, leaving, return_exceptions=True)

    async def _live(self) -> None:
        ids: Sequence[str] = ()
        if uid(self.pod) not in self.node.containers:
            ids = await self._prepared()
        failures = 0
        while True:
            container = self.node.containers.get(uid(self.pod)) or await self._started(ids, failures)
            await self._watch(container)
            if self.pod["spec"].get("restartPolicy") == "Never":
                return
            failures += 1
            self._why = "CrashLoopBackOff"
            await self._report()
            ids = [id_ for claim in self.desk.claims_of(uid(self.pod)) for id_ in self.desk.held[claim].ids]
            await asyncio.sleep(min(60.0, 5.0 * 2 ** (failures - 1)))
            self.node.containers.pop(uid(self.pod), None)

    async def _prepared(self) -> Sequence[str]:
        while True:
            self._touched.clear()
            try:
                return await self.desk.prepare(self.pod)
            except (Unready, Again) as error:
                self._why = str(error)[:200]
            await self._report()
            await _within(self._touched, random.uniform(*PREPARE_RETRY))

    async def _started(self, ids: Sequence[str], restarts: int) -> Container:
        while True:
            try:
                env, mounts, devices = _injected(self.node, ids)
            except Unresolvable as error:
                self._why = str(error)
                await self._report()
                await asyncio.sleep(10.0)
                continue
            ip = self._address()
            claims = self.desk.claims_of(uid(self.pod))
            container = Container(self.pod, ip, claims, devices, restarts)
            self.node.start_container(container, {**self._env(ip), **env}, mounts)
            return container

    def _address(self) -> str:
        fate = self.node.ground.fate
        number = int(fate.between(1, 250 * 250, "address", uid(self.pod), self.node.boots))
        return f"10.{1 + number % 200}.{number // 250 % 250}.{1 + number % 250}"

    def _env(self, ip: str) -> dict[str, str]:
        meta = self.pod["metadata"]
        env = {e["name"]: e["value"] for e in self.pod["spec"]["containers"][0].get("env") or () if "value" in e}
        env |= {"NODE_NAME": self.node.name, "POD_IP": ip, "POD_UID": meta["uid"], "POD_NAME": meta["name"]}
        return {**env, "POD_NAMESPACE": meta["namespace"]}

    async def _watch(self, container: Container) -> None:
        """Until it has ended: its readiness is looked at often while it starts, and every ten seconds after."""
        seconds = annotations(self.pod).get(RUNS_FOR)
        told = None
        while container.ended is None:
            ready = container.ready
            if ready != told:
                told = ready if await self._report() else None
            pause = RETRY if told != ready else _pause(container)
            if seconds is not None:
                left = container.began + float(seconds) - asyncio.get_running_loop().time()
                if left <= 0:
                    container.end(0)
                    return
                pause = min(pause, left + 0.001)
            await _within(container.over, pause)

    async def _end(self) -> None:
        container = self.node.containers.get(uid(self.pod))
        if container is not None:
            await container.stop(30.0)
        while True:
            try:
                await self.desk.unprepare(uid(self.pod))
            except Unready:
                await asyncio.sleep(random.uniform(*UNPREPARE_RETRY))
            else:
                break
        self._over = True
        await self._told()
        await self._leaving.wait()
        while not self._gone:
            try:
                await remove(self.wire, self.pod)
            except Again:
                await asyncio.sleep(RETRY)
            else:
                break
        self.node.containers.pop(uid(self.pod), None)

    async def _told(self) -> None:
        """Its last status, until it is written."""
        while not self._gone and not finished(self.pod):
            if await self._report():
                return
            await asyncio.sleep(RETRY)

    async def _report(self) -> bool:
        """Write the status if it differs; False: it has to be tried again."""
        status = self._status()
        if status == {key: value for key, value in (self.pod.get("status") or {}).items() if key in status}:
            return True
        patch = {"metadata": {"uid": uid(self.pod)}, "status": status}
        try:
            done = await self.wire.patch(kinds.PODS, name(self.pod), patch, namespace(self.pod), subresource="status")
        except NotFound:
            return True
        except Again:
            return False
        self.pod = {**self.pod, "status": done["status"]}
        return True

    def _status(self) -> Json:
        container = self.node.containers.get(uid(self.pod))
        phase = "Pending" if container is None else "Running"
        if self._over:
            phase = "Succeeded" if container is not None and container.ended == 0 else "Failed"
        ready = phase == "Running" and container is not None and container.ready
        conditions = with_condition(dig(self.pod, "status", "conditions") or [], "Ready", str(ready))
        status: Json = {"phase": phase, "conditions": conditions, "containerStatuses": [self._container(container)]}
        status["startTime"] = dig(self.pod, "status", "startTime") or now()
        if container is not None:
            status |= {"podIP": container.ip, "podIPs": [{"ip": container.ip}], "hostIP": "192.0.2.1"}
        return status

    def _container(self, container: Container | None) -> Json:
        spec = self.pod["spec"]["containers"][0]
        state: Json = {"waiting": {"reason": "ContainerCreating", "message": self._why}}
        if container is not None and container.ended is None:
            state = {"running": {}}
        elif container is not None:
            state = {"terminated": {"exitCode": container.ended, "reason": "Error" if container.ended else "Completed"}}
        found: Json = {"name": spec["name"], "image": spec.get("image", ""), "imageID": "", "lastState": {}}
        ready = container is not None and container.ready
        return {**found, "ready": ready, "restartCount": container.restarts if container else 0, "state": state}


def _pause(container: Container) -> float:
    """Until readiness is looked at again; a worker that is ready stays so."""
    if not container.ready:
        return LOOK
    return READINESS if container.daemon is not None else 3600.0


Injected = tuple[dict[str, str], dict[str, str], tuple[str, ...]]


def _injected(node: Node, ids: Sequence[str]) -> Injected:
    """Environment, mounts (inside to outside) and device paths that the runtime takes from the node's CDI files."""
    env: dict[str, str] = {}
    mounts: dict[str, str] = {}
    devices: list[str] = []
    for id_ in ids:
        edits = _edits(node, id_)
        env |= dict(entry.split("=", 1) for entry in edits.get("env", ()))
        mounts |= {mount["containerPath"]: mount["hostPath"] for mount in edits.get("mounts", ())}
        devices += [device["path"] for device in edits.get("deviceNodes", ())]
    return env, mounts, tuple(devices)


def _edits(node: Node, id_: str) -> Mapping[str, Any]:
    wanted = id_.partition("=")[2]
    for file in node.disk.below(CDI):
        spec = json.loads(node.disk.files[f"{CDI}/{file}"])
        for device in spec["devices"]:
            if device["name"] == wanted:
                found: Mapping[str, Any] = device["containerEdits"]
                return found
    raise Unresolvable(f"unresolvable CDI devices {id_}")


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _meta(pod: Json) -> Json:
    return {key: value for key, value in pod["metadata"].items() if key not in ("resourceVersion", "managedFields")}


def is_daemon(pod: Mapping[str, Any]) -> bool:
    """One of ours."""
    return names.DOMAIN_LABEL in (pod["metadata"].get("labels") or {})
