"""Nodes: the object, and what hangs on one machine: its boot, its runtime, its kubelet, its link."""

import asyncio
import contextlib
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from nvdra.errors import AlreadyExists, NvdraError
from nvdra.sim.kube import kinds
from nvdra.sim.kube.kubelet.agent import Kubelet, PodFeed
from nvdra.sim.kube.kubelet.settings import Settings
from nvdra.sim.kube.link import Link
from nvdra.sim.kube.removal import NodeCluster
from nvdra.sim.kube.runtime.commands import Commands
from nvdra.sim.kube.runtime.containers import Loopback, Runtime
from nvdra.sim.kube.shapes import Json, dig, holds, name, namespace, now, uid, with_condition

CONTROL_PLANE: Final = "node-role.kubernetes.io/control-plane"
_UNREACHABLE: Final = "node.kubernetes.io/unreachable"


@frozen
class NodeSpec:
    """What a node is to be."""

    name: str
    root: Path
    gpus: int = 4
    control_plane: bool = False
    taint: str = "PreferNoSchedule"
    """Effect of the control plane's taint; the guide's launcher tolerates none that keeps it off."""
    labels: Mapping[str, str] = field(factory=dict)


def manifest(spec: NodeSpec, boot_id: str) -> Json:
    """The Node object as a kubelet and the GPU operator would have it."""
    labels = {
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/arch": "arm64",
        "kubernetes.io/os": "linux",
        **({CONTROL_PLANE: ""} if spec.control_plane else {}),
        **({"nvidia.com/gpu.present": "true"} if spec.gpus else {}),
        **spec.labels,
    }
    amounts = {"cpu": "144", "memory": "960Gi", "ephemeral-storage": "1Ti", "pods": "110"}
    if spec.gpus:
        amounts["nvidia.com/gpu"] = str(spec.gpus)
    body: Json = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": spec.name, "labels": labels},
        "spec": {"taints": [{"key": CONTROL_PLANE, "effect": spec.taint}] if spec.control_plane else []},
        "status": {"capacity": amounts, "allocatable": amounts, "nodeInfo": _info(boot_id)},
    }
    body["status"]["addresses"] = [
        {"type": "InternalIP", "address": "127.0.0.1"},
        {"type": "Hostname", "address": spec.name},
    ]
    return body


def _info(boot_id: str) -> Json:
    return {
        "bootID": boot_id,
        "machineID": uuid.uuid5(uuid.NAMESPACE_OID, boot_id).hex,
        "systemUUID": boot_id,
        "kernelVersion": "nvdra-sim",
        "osImage": "nvdra sim: no image",
        "containerRuntimeVersion": "nvdra-sim://0",
        "kubeletVersion": "v1.36.0",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": "arm64",
    }


@frozen
class Surroundings:
    """What all nodes of a rack share."""

    cluster: NodeCluster
    feed: PodFeed
    commands: Commands
    addresses: Loopback
    settings: Settings = field(factory=Settings)
    node_lost_after: float = 40
    """Seconds without a kubelet until the node counts as lost (node-monitor-grace-period)."""


@define(eq=False)
class RackNode:
    """One machine of the rack."""

    spec: NodeSpec
    around: Surroundings
    boot_id: str = field(factory=lambda: str(uuid.uuid4()), init=False)
    link: Link = field(init=False)
    runtime: Runtime = field(init=False)
    kubelet: Kubelet = field(init=False)
    _lost: "asyncio.Task[None] | None" = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Everything but power."""
        self.link = Link(self.around.cluster, self.spec.name)
        self.runtime = Runtime(self.spec.root, self.around.commands, self.around.addresses)
        self.kubelet = Kubelet(self.link, self.spec.name, self.runtime, self.around.feed, self.around.settings)

    async def start(self) -> None:
        """Boot: folders, boot id, Node object, kubelet."""
        for folder in ("var/lib/kubelet/plugins_registry", "var/lib/kubelet/plugins", "var/run/cdi", "etc/cdi", "dev"):
            (self.spec.root / folder).mkdir(parents=True, exist_ok=True)
        boot = self.spec.root / "proc/sys/kernel/random/boot_id"
        boot.parent.mkdir(parents=True, exist_ok=True)
        boot.write_text(f"{self.boot_id}\n")
        await self._register()
        await self.kubelet.start()

    async def stop(self) -> None:
        """End of the rack: kubelet and containers."""
        self._found()
        await self.kubelet.stop()
        await self.runtime.crash()

    async def crash(self) -> None:
        """Power off: containers and kubelet are gone, and nobody says so. In a while the node counts as lost."""
        await self.kubelet.stop()
        await self.runtime.crash()
        self._missing()

    async def reboot(self) -> None:
        """Power off and on: a new boot id, /run and /dev empty, no container left."""
        await self.kubelet.stop()
        await self.runtime.crash()
        self.boot_id = str(uuid.uuid4())
        for folder in ("var/run/cdi", "dev"):
            shutil.rmtree(self.spec.root / folder)
        self._found()
        await self.start()

    def partition(self, cut: bool) -> None:
        """Cut the kubelet's way to the API server, or mend it. What else runs there has its own way."""
        self.link.cut = cut
        if cut:
            self.around.feed.unsubscribe(self.spec.name)
            self._missing()
            return
        self._found()
        self.kubelet.resync()
        self._lost = asyncio.ensure_future(self._back())

    async def _register(self) -> None:
        body = manifest(self.spec, self.boot_id)
        cluster = self.around.cluster
        with contextlib.suppress(AlreadyExists):
            await cluster.create(kinds.NODES, body)
        await self._ready("True", "KubeletReady", "kubelet is posting ready status", body["status"])
        await self._untaint()

    async def _ready(self, status: str, reason: str, message: str, more: Json) -> None:
        node = await self.around.cluster.get(kinds.NODES, self.spec.name)
        conditions = with_condition(dig(node, "status", "conditions") or [], "Ready", status, reason, message)
        patch = {"status": {**more, "conditions": [{**c, "lastHeartbeatTime": now()} for c in conditions]}}
        await self.around.cluster.patch(kinds.NODES, self.spec.name, patch, subresource="status")

    async def _untaint(self) -> None:
        node = await self.around.cluster.get(kinds.NODES, self.spec.name)
        taints = [t for t in dig(node, "spec", "taints") or () if t["key"] != _UNREACHABLE]
        if taints != (dig(node, "spec", "taints") or []):
            await self.around.cluster.patch(kinds.NODES, self.spec.name, {"spec": {"taints": taints}})

    # What the node lifecycle controller does.

    def _missing(self) -> None:
        self._found()
        self._lost = asyncio.ensure_future(self._count_as_lost())

    def _found(self) -> None:
        if self._lost is not None:
            self._lost.cancel()
            self._lost = None

    async def _back(self) -> None:
        await self._ready("True", "KubeletReady", "kubelet is posting ready status", {})
        await self._untaint()

    async def _count_as_lost(self) -> None:
        await asyncio.sleep(self.around.node_lost_after)
        try:
            await self._ready("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.", {})
            node = await self.around.cluster.get(kinds.NODES, self.spec.name)
            taints = [
                *(dig(node, "spec", "taints") or ()),
                *({"key": _UNREACHABLE, "effect": effect} for effect in ("NoSchedule", "NoExecute")),
            ]
            await self.around.cluster.patch(kinds.NODES, self.spec.name, {"spec": {"taints": taints}})
            for pod in self.around.feed.pods_of(self.spec.name):
                await self._not_ready(pod)
        except NvdraError:
            self._missing()

    async def _not_ready(self, pod: Json) -> None:
        if not holds(pod, "Ready"):
            return
        conditions = with_condition(dig(pod, "status", "conditions") or [], "Ready", "False")
        patch = {"metadata": {"uid": uid(pod)}, "status": {"conditions": conditions}}
        await self.around.cluster.patch(kinds.PODS, name(pod), patch, namespace(pod), subresource="status")
