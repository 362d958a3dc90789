"""`nvdra kubelet-plugin`: channels and daemons of ComputeDomains on one node."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import define, field, frozen

from nvdra.adapters.cdi import CdiFolder
from nvdra.adapters.checkpoint import Records
from nvdra.adapters.files import DiskFiles
from nvdra.adapters.http.server import Answer, Handler, HttpServer, Request
from nvdra.adapters.kube.events import EventAnnouncer
from nvdra.adapters.kubelet.plugin import Door, Plugin
from nvdra.adapters.kubelet.server import PluginServer
from nvdra.adapters.kubelet.sockets import SocketPaths
from nvdra.adapters.slices import SlicePublisher
from nvdra.api import kinds, names
from nvdra.apps import statecharts
from nvdra.apps.bystanders import Bystanders
from nvdra.apps.clique_label import CliqueLabel
from nvdra.apps.first_look import FirstLook
from nvdra.apps.gate import Gate, GateSettings
from nvdra.apps.hardware import CdiFiles, Probe, StatusFiles
from nvdra.apps.own_node import OwnNode
from nvdra.apps.recovery import Recovery
from nvdra.apps.rosters import RosterWatches
from nvdra.domains.channel_claim import facts as channel_facts
from nvdra.domains.channel_claim import snapshot as channel_snapshot
from nvdra.domains.channel_claim import things as channel_things
from nvdra.domains.channel_claim.voice import Memory, PodVoice
from nvdra.domains.daemon_claim import facts as daemon_facts
from nvdra.domains.daemon_claim import snapshot as daemon_snapshot
from nvdra.domains.daemon_claim import things as daemon_things
from nvdra.domains.daemon_claim import voice as daemon_voice
from nvdra.engine.domain import Domain
from nvdra.engine.engine import Engine
from nvdra.engine.recorder import Meter, NoMeter, Recorder
from nvdra.node import DeviceNodes, Edits, Nvml, ProcDevices
from nvdra.ports import Announcer, Cluster, Folders, Subject

RESYNC = 60.0


@frozen
class PluginSettings:
    """What the administrator decides, and where things are on this node.

    `sure`: seconds that a claim must be gone before the sweep releases it.
    `plugins`, `registry`, `cdi`: as this process sees them. `plugins_on_host`: the same folder as the host sees it.
    """

    node_name: str
    plugins: Path = Path("/var/lib/kubelet/plugins")
    plugins_on_host: Path = Path("/var/lib/kubelet/plugins")
    registry: Path = Path("/var/lib/kubelet/plugins_registry")
    cdi: Path = Path("/var/run/cdi")
    namespace: str = names.DRIVER_NAMESPACE
    hold: float = 5.0
    probe_every: float = 5.0
    sure: float = 35.0
    boot_id: str = ""
    resource_version: str = "v1"
    health_address: str = ""
    http_host: str = ""
    http_port: int | None = None
    routes: Mapping[str, Handler] = field(factory=dict)
    statecharts: Path | None = None
    label_clique: bool = False


@frozen(eq=False)
class Hardware:
    """The node's hardware, or what stands for it."""

    nvml: Nvml
    proc: ProcDevices
    device_nodes: DeviceNodes
    driver_edits: Callable[[], Edits]


@define(eq=False)
class KubeletPlugin:
    """One node's plugin process (or one of many in a large rack)."""

    settings: PluginSettings
    cluster: Cluster
    hardware: Hardware
    meter: Meter = field(factory=NoMeter)
    observe: Callable[[str, str, str, float], None] = lambda *_: None
    wall: Callable[[], float] = time.time
    watch_engine: Callable[[Engine], None] = lambda _: None
    files: Folders = field(factory=DiskFiles)
    door: Callable[[Plugin, SocketPaths, str], Door] = PluginServer
    engine: Engine | None = field(default=None, init=False)
    server: Door | None = field(default=None, init=False)
    probe: Probe | None = field(default=None, init=False)

    async def run(self) -> None:
        """Serve until cancelled."""
        settings = self.settings
        self.engine = engine = Engine(asyncio.get_running_loop().time, Recorder(self.meter))
        self.watch_engine(engine)
        announcer = EventAnnouncer(self.cluster, "nvdra-kubelet-plugin", settings.node_name, wall=self.wall)
        paths = SocketPaths(names.CD_DRIVER, settings.plugins, settings.registry)
        paths.check()
        recovery = self._recovery(engine, announcer, paths)
        gate = self._bind(engine, announcer, paths, recovery)
        bystanders = Bystanders(self.cluster, recovery.claims, settings.node_name, announcer)
        slices = SlicePublisher(
            self.cluster, settings.resource_version, settings.node_name, names.CD_DRIVER, recovery.node
        )
        self.probe = Probe(
            self.hardware.nvml, self.hardware.proc, engine.store, slices, self._registered, settings.probe_every
        )
        status_files = StatusFiles(recovery.files, engine.store, recovery.domains)
        cdi_files = CdiFiles(recovery.cdi, engine.store)
        rosters = RosterWatches(self.cluster, engine.store, settings.namespace)
        self.server = self.door(gate, paths, settings.health_address)
        http = HttpServer(self._routes())
        telling = asyncio.create_task(announcer.run())
        try:
            await self.server.alone()
            await FirstLook(recovery, bystanders, announcer).take()
            await self.server.start()
            if settings.http_port is not None:
                await http.start(settings.http_host, settings.http_port)
            async with asyncio.TaskGroup() as group:
                group.create_task(_ended(telling))
                for work in (self.probe, slices, status_files, cdi_files, rosters, recovery, engine):
                    group.create_task(work.run())
                group.create_task(recovery.wake_pending(self._registered, self.server.told))
                group.create_task(bystanders.tell_quarantined(recovery.quarantined))
                group.create_task(
                    bystanders.tell_unregistered(self._registered, self._registration_error, paths.registration)
                )
                if settings.label_clique:
                    group.create_task(CliqueLabel(self.cluster, engine.store, recovery.node).run())
        finally:
            telling.cancel()
            await self.server.stop()
            await http.stop()

    def _recovery(self, engine: Engine, announcer: Announcer, paths: SocketPaths) -> Recovery:
        settings = self.settings
        return Recovery(
            cluster=self.cluster,
            store=engine.store,
            records=Records(paths.folder, settings.boot_id, self.files),
            cdi=CdiFolder(settings.cdi, self.files),
            files=self.files,
            domains=paths.folder / "domains",
            node=OwnNode(self.cluster, engine.store, settings.node_name),
            claims=kinds.RESOURCE_CLAIMS.at(settings.resource_version),
            announcer=announcer,
            wall=self.wall,
            sure=settings.sure,
        )

    def _bind(self, engine: Engine, announcer: Announcer, paths: SocketPaths, recovery: Recovery) -> Gate:
        settings, override = self.settings, self.settings.statecharts
        memory, waker = Memory(), channel_things.Waker()
        channel_snapshot.declare(engine.store)
        daemon_snapshot.declare(engine.store)
        channel_ports = channel_things.Ports(
            self.cluster,
            engine.store,
            recovery.records,
            recovery.cdi,
            self.hardware.device_nodes,
            settings.node_name,
            self.wall,
            waker,
        )
        daemon_ports = daemon_things.Ports(
            self.cluster,
            engine.store,
            recovery.records,
            recovery.cdi,
            recovery.files,
            self.hardware.driver_edits,
            recovery.domains,
            settings.plugins_on_host / names.CD_DRIVER / "domains",
        )
        engine.add(
            Domain(
                channel_snapshot.KIND,
                statecharts.interpreter(channel_snapshot.KIND, override),
                channel_facts.FACTS,
                channel_things.things(channel_ports),
                channel_snapshot.View(settings.node_name).observe,
                PodVoice(announcer, memory),
                announce=lambda seen, reason, text: _tell_pods(announcer, seen, reason, text),
                title=_title,
                resync=RESYNC,
            )
        )
        engine.add(
            Domain(
                daemon_snapshot.KIND,
                statecharts.interpreter(daemon_snapshot.KIND, override),
                daemon_facts.FACTS,
                daemon_things.things(daemon_ports),
                daemon_snapshot.View(settings.node_name).observe,
                daemon_voice.PodVoice(self.cluster),
                announce=lambda seen, reason, text: _tell_pods(announcer, seen, reason, text),
                title=_title,
                resync=RESYNC,
            )
        )
        gate_settings = GateSettings(settings.node_name, settings.namespace, settings.hold)
        return Gate(
            engine, self.cluster, recovery.claims, gate_settings, memory, waker, self._look, observe=self.observe
        )

    def _registered(self) -> bool:
        status = self.server.registered if self.server else None
        return status is not None and status.registered

    def _registration_error(self) -> str:
        status = self.server.registered if self.server else None
        return status.error if status is not None else ""

    def _look(self, _: str) -> None:
        """A claim came: what hardware was seconds ago may be history."""
        if self.probe is not None:
            self.probe.at_once()

    def _routes(self) -> Mapping[str, Handler]:
        async def healthz(_: Request) -> Answer:
            return Answer(200, b"ok\n")

        async def readyz(_: Request) -> Answer:
            status = self.server.registered if self.server else None
            if status is None or not status.registered:
                said = status.error if status else "the kubelet has not registered us yet"
                return Answer(503, f"{said}\n".encode())
            return Answer(200, b"ok\n")

        return {"/healthz": healthz, "/livez": healthz, "/readyz": readyz, **self.settings.routes}


async def _ended(task: asyncio.Task[None]) -> None:
    """A part that was started before the others: its defect ends them all, as theirs end it."""
    await task


Seen = channel_snapshot.ChannelClaimSnapshot | daemon_snapshot.DaemonClaimSnapshot


def _tell_pods(announcer: Announcer, seen: Seen, reason: str, text: str) -> None:
    """What was refused is said on the pods that wait for the claim."""
    known = seen.record or seen.call
    for pod in known.pods if known else ():
        announcer.tell(
            Subject("v1", "Pod", pod.name, known.namespace if known else "", pod.uid), reason, text, warning=True
        )


def _title(seen: Seen) -> str:
    """The claim as people know it."""
    known = seen.record or seen.call
    return f"{known.namespace}/{known.name}" if known else ""
