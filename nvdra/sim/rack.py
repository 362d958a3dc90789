"""A whole rack on one machine: API server, control plane, nodes, and the driver installed on them."""

import asyncio
import json
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from nvdra.api import names
from nvdra.api.kind import Kind
from nvdra.api.kinds import DAEMON_SETS, PODS
from nvdra.errors import NvdraError
from nvdra.sim import manifests
from nvdra.sim.apiserver.inprocess import InProcess
from nvdra.sim.apiserver.server import ApiServer, kubeconfig
from nvdra.sim.apiserver.store import ObjectStore
from nvdra.sim.ground import Block, scratch
from nvdra.sim.kube import kinds
from nvdra.sim.kube.controlplane import ControlPlane
from nvdra.sim.kube.kubelet.settings import Settings
from nvdra.sim.kube.nodes import NodeSpec, RackNode, Surroundings
from nvdra.sim.kube.runtime.commands import Commands
from nvdra.sim.kube.runtime.containers import Container, Loopback
from nvdra.sim.kube.runtime.mpirun import ImexView
from nvdra.sim.kube.runtime.running import Launcher
from nvdra.sim.kube.world import RackWorld
from nvdra.sim.launchers import ProcessLauncher
from nvdra.sim.nodeplugin import may_mknod
from nvdra.sim.nvml import make_driver_root, write_rack_node
from nvdra.sim.topology import Topology, clique_of

_NAMESPACES: Kind[dict[str, Any]] = Kind(dict, "Namespace", "namespaces", namespaced=False)
log = logging.getLogger(__name__)

STOP_LIMIT = 15.0
CONTROL_PLANE_NODE = "control-plane-1"


@frozen
class RackSettings:
    """How a rack is run. `launcher` makes a Launcher from the kubeconfig's path; the default starts processes.

    `governed`: label selector of the nodes and pods that its control plane is for; somebody else plays the rest.
    """

    topology: Topology = field(factory=Topology)
    kubelet: Settings = field(factory=Settings)
    launcher: Callable[[Path], Launcher] = ProcessLauncher
    root: Path | None = None
    port: int = 0
    install_driver: bool = True
    governed: str = ""


@define(eq=False, repr=False)
class Rack:
    """`async with Rack(settings) as rack: …`."""

    settings: RackSettings = field(factory=RackSettings)
    root: Path = field(init=False)
    api: ApiServer = field(init=False)
    cluster: InProcess = field(init=False)
    control_plane: ControlPlane = field(init=False)
    world: RackWorld = field(init=False)
    block: Block = field(init=False)
    nodes: dict[str, RackNode] = field(factory=dict, init=False)

    async def start(self) -> None:
        """From nothing to a rack with the driver's pods on their way."""
        self.block = Block()
        self.root = self.settings.root or scratch()
        self.root.mkdir(parents=True, exist_ok=True)
        self.api = ApiServer(ObjectStore())
        await self.api.start(port=self.settings.port)
        self.kubeconfig.write_text(kubeconfig(self.api.url))
        self.cluster = InProcess(self.api.store, "rack")
        await self._basics()
        workers = dict(self.settings.topology.workers())
        cliques = {name: clique_of(fabric) for name, fabric in workers.items() if fabric}
        self.control_plane = ControlPlane(self.cluster, cliques, self.settings.governed)
        await self.control_plane.start()
        await self._nodes(workers)
        if self.settings.install_driver:
            await self._driver()

    async def stop(self) -> None:
        """Everything ends, nothing is left."""
        await _within(asyncio.gather(*(node.stop() for node in self.nodes.values())), "the nodes")
        await _within(self.control_plane.stop(), "the control plane")
        await _within(self.api.stop(), "the API server")
        self.block.give_back()
        if self.settings.root is None:
            await asyncio.to_thread(shutil.rmtree, self.root, ignore_errors=True)

    async def __aenter__(self) -> "Rack":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def kubeconfig(self) -> Path:
        """For kubectl."""
        return self.root / "kubeconfig"

    @property
    def real_devices(self) -> bool:
        """Whether device nodes are real here; else marked plain files stand for them."""
        return may_mknod(self.root)

    def container(self, node: str, pod: str, name: str) -> Container | None:
        """That container of a pod whose name begins so, on that node."""
        for sandbox in self.nodes[node].runtime.sandboxes.values():
            if sandbox.pod[1].startswith(pod) and name in sandbox.containers:
                return sandbox.containers[name]
        return None

    async def _basics(self) -> None:
        for name in ("default", "kube-system", names.DRIVER_NAMESPACE):
            try:
                await self.cluster.create(_NAMESPACES, manifests.namespace(name))
            except NvdraError:
                continue  # the server comes with some
        for crd in manifests.crds():
            await self.cluster.create(kinds.CRDS, crd)
        for device_class in manifests.device_classes():
            await self.cluster.create(kinds.CLASSES, device_class)

    async def _nodes(self, workers: Mapping[str, Any]) -> None:
        topology = self.settings.topology
        self.world = RackWorld(self.nodes, self._imex_of)
        self.api.set_log_provider(self.world.logs)
        self.api.set_exec_provider(self.world.execute)
        commands = Commands(self.settings.launcher(self.kubeconfig), self.world)
        around = Surroundings(
            self.cluster, self.control_plane.feed, commands, Loopback(self.block.octet), self.settings.kubelet
        )
        if topology.control_plane:
            spec = NodeSpec(CONTROL_PLANE_NODE, self.root / "n" / "cp", gpus=0, control_plane=True)
            self.nodes[CONTROL_PLANE_NODE] = RackNode(spec, around)
        for name, fabric in workers.items():
            root = self.root / "n" / name
            root.mkdir(parents=True, exist_ok=True)
            make_driver_root(root)
            write_rack_node(root / "hardware.json", name, topology.gpus, fabric)
            self.nodes[name] = RackNode(NodeSpec(name, root, topology.gpus), around)
        await asyncio.gather(*(node.start() for node in self.nodes.values()))

    async def _driver(self) -> None:
        pods: Kind[Any] = Kind(dict, PODS.kind, PODS.plural)
        sets: Kind[Any] = Kind(dict, DAEMON_SETS.kind, DAEMON_SETS.plural, group="apps")
        topology = self.settings.topology
        await self.cluster.create(sets, manifests.plugin_daemonset(), names.DRIVER_NAMESPACE)
        await self.cluster.create(pods, manifests.controller_pod(topology.max_nodes), names.DRIVER_NAMESPACE)

    def _imex_of(self, node: str) -> ImexView:
        """What the node's IMEX daemon wrote into its domain's folder."""
        folder = self.nodes[node].spec.root / "var/lib/kubelet/plugins" / names.CD_DRIVER / "domains"
        for status in folder.glob("*/status.json"):
            try:
                found = json.loads(status.read_text())
            except (OSError, ValueError):
                continue
            ready = found.get("ready") is True
            clique = json.loads((status.parent / "domain.json").read_text()).get("clique", "")
            return ImexView(f"{found.get('domain')}.{clique}", ready, found.get("reason") or found.get("state", ""))
        return ImexView()


async def _within(work: Awaitable[Any], what: str) -> None:
    """A rack's end does not hang on a part of it that will not end: that is said, and left behind."""
    try:
        async with asyncio.timeout(STOP_LIMIT):
            await work
    except TimeoutError:
        log.warning("%s of the rack did not stop within %.0f s", what, STOP_LIMIT)
