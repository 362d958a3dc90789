"""Scripted nodes: what a node with a worker writes and watches, and not the programs that would do it.

Each is, one after another: the plugin that reads domain and node, watches its roster and puts the labels on the node;
the DaemonSet controller and the scheduler that give it a daemon pod; its kubelet, which writes the pod's status; the
daemon, which watches the roster too and is ready some time after its own address is listed.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
from attrs import define, field, frozen

from nvdra.api import names
from nvdra.api.membership import joining_patch
from nvdra.sim.scale.place import DOMAINS_PATH
from nvdra.sim.scale.wire import Ask, Line, Wire

PLUGIN, DAEMON = "nvdra-kubelet-plugin", "nvdra-imex-daemon"
KUBELET, CONTROL_PLANE = "kubelet", "kube-controller-manager"
ROSTERS_PATH = f"/apis/{names.GROUP}/{names.VERSION}/namespaces/{names.DRIVER_NAMESPACE}/computedomaincliques"
PODS_PATH = f"/api/v1/namespaces/{names.DRIVER_NAMESPACE}/pods"
SCRIPTED = "nvdra.sim/scripted"
"""Label of the nodes and daemon pods that are played here: a rack's control plane leaves them alone."""
IMEX_SECONDS = 0.2
"""From a listed address to a ready nvidia-imex; measured on the bed: 0.1 to 0.2 s."""


class _Meta(msgspec.Struct):
    name: str = ""


class _Entry(msgspec.Struct):
    nodeName: str  # noqa: N815 - the API's own spelling
    ipAddress: str = ""  # noqa: N815
    index: int = -1
    status: str = ""


class _Roster(msgspec.Struct):
    metadata: _Meta
    formed: bool = False
    daemons: tuple[_Entry, ...] = ()

    def entry(self, node: str) -> _Entry | None:
        return next((entry for entry in self.daemons if entry.nodeName == node), None)


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_EVENTS = msgspec.json.Decoder(_Event)
_ROSTERS = msgspec.json.Decoder(_Roster)


@frozen
class Domain:
    """The ComputeDomain that is joined, with its DaemonSet."""

    name: str
    uid: str
    daemon_set: dict[str, Any]


@define(eq=False)
class ScriptedNode:
    """One node. `daemon_ready`: when its daemon's pod was written Ready. `told`: when it knew that it may go on."""

    wire: Wire
    number: int
    name: str
    clique: str
    daemon_ready: float = field(default=0.0, init=False)
    told: float = field(default=0.0, init=False)
    pod_name: str = field(default="", init=False)
    heard: int = field(default=0, init=False)
    """Events of its roster, at plugin and daemon."""
    _listed: asyncio.Event = field(factory=asyncio.Event, init=False)
    _released: asyncio.Event = field(factory=asyncio.Event, init=False)
    _watches: list[Line] = field(factory=list, init=False)

    async def join(self, domain: Domain) -> None:
        """From the kubelet's call for the channel until the worker may start."""
        claim = str(uuid.uuid4())
        roster = names.roster_name(domain.uid, self.clique)
        await asyncio.gather(self._follow(PLUGIN, roster, self._plugin_saw), self._label(domain, claim))
        pod = await self._daemon_pod(domain)
        await self._follow(DAEMON, roster, self._daemon_saw)
        await self._listed.wait()
        await asyncio.sleep(IMEX_SECONDS)
        await self._status(pod, ready=True)
        self.daemon_ready = time.monotonic()
        await self._released.wait()

    @property
    def address(self) -> str:
        """Of its daemon's pod."""
        return f"10.{self.number // 62500}.{self.number // 250 % 250}.{self.number % 250 + 1}"

    @property
    def slice_name(self) -> str:
        """Of its ResourceSlice."""
        return f"00000-{names.CD_DRIVER}-{self.name}-00000"

    def objects(self) -> dict[str, dict[str, Any]]:
        """What is there before anybody joins: the Node and its ResourceSlice, by plural."""
        attributes = {"type": {"string": "channel"}, "id": {"int": 0}, "clique": {"string": self.clique}}
        spec = {
            "driver": names.CD_DRIVER,
            "nodeName": self.name,
            "pool": {"name": self.name, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "channel-0", "attributes": attributes}],
        }
        labels = {"kubernetes.io/hostname": self.name, "nvidia.com/gpu.present": "true", SCRIPTED: ""}
        return {
            "nodes": {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": labels}},
            "resourceslices": {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceSlice",
                "metadata": {"name": self.slice_name},
                "spec": spec,
            },
        }

    def leave(self) -> None:
        """End its watches."""
        for line in self._watches:
            self.wire.forget(line)

    async def _label(self, domain: Domain, claim: str) -> None:
        path = f"/api/v1/nodes/{self.name}"
        await asyncio.gather(
            self.wire.send(Ask(PLUGIN, "get", "computedomains", f"{DOMAINS_PATH}/{domain.name}")),
            self.wire.send(Ask(PLUGIN, "get", "nodes", path)),
        )
        patch = joining_patch(domain.uid, claim, self.clique, None)
        await self._patch(PLUGIN, "nodes", path, patch, "json-patch+json")

    async def _daemon_pod(self, domain: Domain) -> str:
        """Made, bound, running with its address; its name."""
        meta, template = domain.daemon_set["metadata"], domain.daemon_set["spec"]["template"]
        name = self.pod_name = f"{meta['name']}-{self.number:05d}"
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": meta["name"], "uid": meta["uid"]}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": names.DRIVER_NAMESPACE,
                "labels": {**template["metadata"]["labels"], SCRIPTED: ""},
                "annotations": template["metadata"]["annotations"],
                "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
            },
            "spec": _spec_on(template["spec"], self.name),
        }
        await self.wire.send(Ask(CONTROL_PLANE, "create", "pods", PODS_PATH, msgspec.json.encode(body)))
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": names.DRIVER_NAMESPACE},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self.name},
        }
        path = f"{PODS_PATH}/{name}/binding"
        await self.wire.send(Ask(CONTROL_PLANE, "create", "pods/binding", path, msgspec.json.encode(binding)))
        await self._status(name, ready=False)
        return name

    async def _status(self, pod: str, *, ready: bool) -> None:
        """As a kubelet writes it."""
        conditions = [
            {"type": "PodReadyToStartContainers", "status": "True"},
            {"type": "Initialized", "status": "True"},
            {"type": "Ready", "status": str(ready)},
            {"type": "ContainersReady", "status": str(ready)},
        ]
        container = {
            "name": names.DAEMON_CONTAINER,
            "image": "nvdra",
            "imageID": "",
            "ready": ready,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }
        status = {
            "phase": "Running",
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "conditions": conditions,
            "containerStatuses": [container],
        }
        path = f"{PODS_PATH}/{pod}/status"
        await self._patch(KUBELET, "pods/status", path, {"status": status}, "strategic-merge-patch+json")

    async def _patch(self, agent: str, resource: str, path: str, body: Any, how: str) -> None:
        await self.wire.send(Ask(agent, "patch", resource, path, msgspec.json.encode(body), f"application/{how}"))

    async def _follow(self, agent: str, roster: str, saw: Callable[[_Roster], None]) -> None:
        """List and watch one roster, as the reflector of plugin and daemon does."""
        query = f"?fieldSelector=metadata.name%3D{roster}"
        body = await self.wire.send(Ask(agent, "list", "computedomaincliques", f"{ROSTERS_PATH}{query}&limit=500"))
        listing = msgspec.json.decode(body)
        for item in listing["items"]:
            saw(msgspec.convert(item, _Roster))
        version = listing["metadata"]["resourceVersion"]
        target = (
            f"{ROSTERS_PATH}{query}&watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds=3000"
        )

        def on_line(line: bytes) -> None:
            event = _EVENTS.decode(line)
            if event.type in ("ADDED", "MODIFIED"):
                self.heard += 1
                saw(_ROSTERS.decode(event.object))

        self._watches.append(await self.wire.watch(Ask(agent, "watch", "computedomaincliques", target), on_line))

    def _plugin_saw(self, roster: _Roster) -> None:
        entry = roster.entry(self.name)
        if roster.formed and entry is not None and entry.status == "Ready" and not self.told:
            self.told = time.monotonic()
            self._released.set()

    def _daemon_saw(self, roster: _Roster) -> None:
        entry = roster.entry(self.name)
        if entry is not None and entry.index >= 0 and entry.ipAddress == self.address:
            self._listed.set()


def _spec_on(spec: dict[str, Any], node: str) -> dict[str, Any]:
    """The template's, for this node alone, as the DaemonSet controller does it."""
    field_of = {"key": "metadata.name", "operator": "In", "values": [node]}
    required = {"nodeSelectorTerms": [{"matchFields": [field_of]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return {**spec, "affinity": affinity, "serviceAccountName": "default"}
