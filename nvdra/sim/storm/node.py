"""One machine: its disk, its boot, what runs in its containers, and the two processes that serve it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from attrs import define, field

from nvdra.api import names
from nvdra.apps.daemon_settings import settings_of
from nvdra.apps.daemon_supervision import ImexDaemon
from nvdra.apps.kubelet_plugin import Hardware, KubeletPlugin, PluginSettings
from nvdra.engine.engine import Engine
from nvdra.node import ChannelNumbers, DeviceNode, Edits, Fabric, Gpu, NvmlReading
from nvdra.sim.storm.clockwork import clock, wall
from nvdra.sim.storm.disk import DISK_ODDS, Devices, Disk, DiskView
from nvdra.sim.storm.door import StormDoor
from nvdra.sim.storm.imex import Instance, Program, Programs
from nvdra.sim.storm.life import Edge, Ground, Life
from nvdra.sim.storm.wire import Wire

RACK: Final = "11111111-2222-3333-4444-555555555555"
NUMBERS: Final = ChannelNumbers(channel_major=507, caps_major=508, channels=4, imex_mgmt_minor=4)
KUBELET: Final = "/var/lib/kubelet"
DOMAINS: Final = f"{KUBELET}/plugins/{names.CD_DRIVER}/domains"
RECORDS: Final = f"{KUBELET}/plugins/{names.CD_DRIVER}/claims"
CDI: Final = "/var/run/cdi"
CALM_DISK: Final = {what: likely / 4 for what, likely in DISK_ODDS.items() if what.startswith("disk")}


class Witness(Ground):
    """A ground that is told of what happens on nodes."""

    def imex_began(self, node: "Node", instance: Instance) -> None:
        """An nvidia-imex holds a place in a domain."""
        raise NotImplementedError

    def worker_began(self, node: "Node", container: "Container") -> None:
        """A worker's container starts, with what was injected."""
        raise NotImplementedError


@define(eq=False)
class Container:
    """The one container of a pod. `devices`: what CDI injected. `ended`: its exit code."""

    pod: Mapping[str, Any]
    ip: str
    claims: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    restarts: int = 0
    began: float = field(factory=clock)
    ended: int | None = None
    over: asyncio.Event = field(factory=asyncio.Event)
    daemon: ImexDaemon | None = None
    edge: Edge | None = None

    @property
    def ready(self) -> bool:
        """As its readiness probe would say."""
        return self.ended is None and (self.daemon is None or self.daemon.status.ready)

    def end(self, code: int) -> None:
        """It is over."""
        if self.ended is None:
            self.ended = code
            self.over.set()

    def kill(self) -> None:
        """SIGKILL."""
        if self.edge is not None:
            self.edge.die()
        self.end(137)

    async def stop(self, grace: float) -> None:
        """SIGTERM, then SIGKILL."""
        if self.daemon is not None and self.ended is None:
            self.daemon.stop()
            try:
                async with asyncio.timeout(grace):
                    await self.over.wait()
            except TimeoutError:
                pass
        self.kill()


@define(eq=False)
class Node:
    """One machine of the rack."""

    name: str
    clique: int
    """0: no fabric."""
    ground: Witness
    disk: Disk = field(factory=Disk)
    up: bool = True
    boots: int = 0
    cut: bool = False
    stuck: bool = False
    training: bool = False
    """The fabric is not there yet, or not any more: the clique is not known."""
    door: StormDoor | None = None
    session: Instance | None = None
    containers: dict[str, Container] = field(factory=dict)
    plugin: Life = field(init=False)
    kubelet: Life = field(init=False)
    engine: Engine | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        from nvdra.sim.storm.kubelet import Kubelet

        self.plugin = Life(f"plugin@{self.name}", self.ground, self._plugin, self.name)
        kubelet = lambda edge: Kubelet(self, edge).run()  # noqa: E731 - one line
        self.kubelet = Life(f"kubelet@{self.name}", self.ground, kubelet, self.name, deadly=False)

    @property
    def clique_id(self) -> str:
        """As NVML says, "" without a fabric."""
        return f"{RACK}.{self.clique}" if self.clique else ""

    @property
    def boot_id(self) -> str:
        """Of this boot."""
        return f"{self.name}-boot-{self.boots}"

    def start(self) -> None:
        """Power on."""
        self.kubelet.hold(False)
        self.plugin.hold(False)

    def power_off(self) -> None:
        """Everything on it ends at once, and nobody is told."""
        self.ground.trace.note("node", "loses its power", self.name)
        self.up = False
        self.plugin.hold(True)
        self.kubelet.hold(True)
        for container in list(self.containers.values()):
            container.kill()
        self.containers.clear()

    def power_on(self) -> None:
        """A new boot: memory is empty, the disk is not."""
        self.ground.trace.note("node", "boots", self.name)
        self.boots, self.up = self.boots + 1, True
        self.disk.boot()
        self.start()

    # The plugin.

    async def _plugin(self, edge: Edge) -> None:
        kubelet = Path(KUBELET)
        settings = PluginSettings(
            node_name=self.name,
            plugins=kubelet / "plugins",
            plugins_on_host=kubelet / "plugins",
            registry=kubelet / "plugins_registry",
            cdi=Path(CDI),
            boot_id=self.boot_id,
        )
        hardware = Hardware(self, Proc(), Devices(self.disk, edge), lambda: DRIVER_EDITS)
        plugin = KubeletPlugin(
            settings,
            Wire(edge),
            hardware,
            wall=wall,
            watch_engine=self._engine,
            files=DiskView(self.disk, edge),
            door=lambda served, _paths, _health: StormDoor(served, edge, self._opened, self._closed),
        )
        await plugin.run()

    def _engine(self, engine: Engine) -> None:
        self.engine = engine

    def _opened(self, door: StormDoor) -> None:
        self.door = door

    def _closed(self, door: StormDoor) -> None:
        if self.door is door:
            self.door = None

    async def read(self) -> NvmlReading:
        """node.Nvml: four GPUs."""
        await asyncio.sleep(0.002)
        fabric = Fabric(3, 0, RACK, self.clique) if self.clique else None
        if self.training and self.clique:
            fabric = Fabric(2, 0, "", 0)
        return NvmlReading("580.95.05", tuple(Gpu(i, f"GPU-{self.name}-{i}", fabric) for i in range(4)))

    # Containers.

    def start_container(self, container: Container, env: Mapping[str, str], mounts: Mapping[str, str]) -> None:
        """Start what the container's image would do: an IMEX daemon, or a worker that works."""
        uid = str(container.pod["metadata"]["uid"])
        self.containers[uid] = container
        if names.DOMAIN_LABEL not in (container.pod["metadata"].get("labels") or {}):
            self.ground.worker_began(self, container)
            return
        edge = Edge(f"imexd@{self.name}", self.ground, self.name)
        root = Path(f"/containers/{uid}")
        self.disk.drop(str(root))
        self.disk.files[f"{root}/etc/hosts"] = f"127.0.0.1\tlocalhost\n{container.ip}\tdaemon\n".encode()
        self.disk.files[f"{root}/dev/termination-log"] = b""
        view = DiskView(self.disk, edge, {f"{root}{inside}": outside for inside, outside in mounts.items()}, CALM_DISK)
        program = Program(view, root, container.ip, env["COMPUTE_DOMAIN_UUID"], env["CLIQUE_ID"], self.name)
        programs = Programs(program, self, edge)
        settings = attrs.evolve(
            settings_of({**env, "NVDRA_ROOT": str(root)}), health_port=None, programs=Path("/usr/bin")
        )
        container.edge = edge
        container.daemon = ImexDaemon(settings, Wire(edge), programs, files=view, forward=lambda _: None)
        task = edge.run(container.daemon.run())
        edge.on_death += [programs.end, task.cancel]  # type: ignore[list-item]  # what it returns is of no interest
        task.add_done_callback(lambda done: self._daemon_ended(container, programs, done))

    def _daemon_ended(self, container: Container, programs: Programs, task: "asyncio.Task[int]") -> None:
        edge = container.edge
        programs.end()
        self.disk.drop(f"/containers/{container.pod['metadata']['uid']}")
        if task.cancelled() or (edge is not None and not edge.alive):
            container.end(137)
            return
        if edge is not None:
            edge.alive = False
        error = task.exception()
        if error is not None:
            self.ground.broken(f"the IMEX daemon on {self.name} broke down: {error!r}")
        container.end(2 if error is not None else task.result())

    def imex_began(self, instance: Instance) -> None:
        """Host: told on."""
        self.ground.imex_began(self, instance)


class Proc:
    """node.ProcDevices."""

    def read(self) -> ChannelNumbers:
        """As with the driver loaded."""
        return NUMBERS


DRIVER_EDITS: Final = Edits(env=("NVDRA_DRIVER=580",), device_nodes=(DeviceNode("/dev/nvidiactl", 195, 255),))
