"""A node for tests: its disk survives restarts, its plugin's engine does not. Files and devices live in memory."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import define, field

from nvdra.api import kinds
from nvdra.api.fabric import Clique
from nvdra.api.local import CALLS, DISK_SPECS, FOLDERS, READINGS, RECORDS, Call, DiskSpec, DomainFolder, NodeReading
from nvdra.api.records import ClaimRecord, PodRef, RecordedDevice
from nvdra.apps import statecharts
from nvdra.apps.rosters import RosterWatches
from nvdra.domains.channel_claim import facts as channel_facts
from nvdra.domains.channel_claim import snapshot as channel_snapshot
from nvdra.domains.channel_claim import things as channel_things
from nvdra.domains.channel_claim.voice import Memory, PodVoice
from nvdra.domains.daemon_claim import facts as daemon_facts
from nvdra.domains.daemon_claim import snapshot as daemon_snapshot
from nvdra.domains.daemon_claim import things as daemon_things
from nvdra.domains.daemon_claim.voice import PodVoice as DaemonVoice
from nvdra.engine.domain import Domain
from nvdra.engine.engine import Engine
from nvdra.engine.queue import Key
from nvdra.errors import Again
from nvdra.node import CdiSpec, ChannelNumbers, DeviceNode, Edits
from nvdra.ports import Cluster
from tests.builders import CLIQUE, OWN
from tests.virtual_time import clock, wall

NUMBERS = ChannelNumbers(channel_major=234, caps_major=235, channels=4, imex_mgmt_minor=7)
DOMAINS = Path("/plugin/domains")


def reading(clique: str | None = CLIQUE, numbers: ChannelNumbers = NUMBERS) -> NodeReading:
    """What a look at the hardware found; None: the fabric is not there yet."""
    if clique is None:
        return NodeReading(Clique(False, "", "GPU 0: fabric registration is in progress"), "580.95.05", numbers)
    return NodeReading(Clique(True, clique, f"NVML: 4 GPUs in {clique or 'no fabric'}"), "580.95.05", numbers)


@define(eq=False)
class Disk:
    """What is on the node: records, CDI files, device nodes, files. `fate` may make a write fail, before or after."""

    records: dict[str, ClaimRecord] = field(factory=dict)
    specs: dict[str, CdiSpec] = field(factory=dict)
    devices: set[tuple[str, int, int]] = field(factory=set)
    files: dict[Path, bytes] = field(factory=dict)
    lost: set[str] = field(factory=set)
    """Claims whose record could not be read, and was set aside."""
    fate: Callable[[str], str] = lambda _: ""
    recording: Callable[[ClaimRecord], None] = lambda _: None
    """Told of each record before it is written."""
    removing: Callable[[Path], None] = lambda _: None
    """Told of each file or folder before it is removed."""

    def write(self, what: str, act: Callable[[], Any]) -> None:
        fate = self.fate(what)
        if fate == "before":
            raise Again(f"{what}: no space left on device")
        act()
        if fate == "after":
            raise Again(f"{what}: interrupted")


@define(eq=False)
class RecordFiles:
    disk: Disk

    def put(self, record: ClaimRecord) -> None:
        self.disk.recording(record)
        self.disk.write("record", lambda: self.disk.records.__setitem__(record.uid, record))

    def remove(self, uid: str) -> None:
        self.disk.write("forget", lambda: self.disk.records.pop(uid, None))


@define(eq=False)
class CdiFiles:
    disk: Disk

    def read(self, kind: str, claim_uid: str) -> CdiSpec | None:
        return self.disk.specs.get(claim_uid)

    def write(self, spec: CdiSpec, claim_uid: str) -> None:
        self.disk.write("cdi", lambda: self.disk.specs.__setitem__(claim_uid, spec))

    def remove(self, kind: str, claim_uid: str) -> None:
        self.disk.write("uncdi", lambda: self.disk.specs.pop(claim_uid, None))


@define(eq=False)
class Devices:
    disk: Disk

    def missing(self, nodes: Sequence[DeviceNode]) -> Sequence[DeviceNode]:
        return [node for node in nodes if (node.path, node.major, node.minor) not in self.disk.devices]

    def make(self, nodes: Sequence[DeviceNode]) -> None:
        for node in nodes:
            made = (node.path, node.major, node.minor)
            self.disk.write("mknod", lambda made=made: self.disk.devices.add(made))

    def remove(self, nodes: Sequence[DeviceNode]) -> None:
        paths = {node.path for node in nodes}
        self.disk.devices = {device for device in self.disk.devices if device[0] not in paths}


@define(eq=False)
class SmallFiles:
    disk: Disk

    def read(self, path: Path) -> bytes | None:
        return self.disk.files.get(path)

    def write(self, path: Path, content: bytes) -> None:
        self.disk.write("file", lambda: self.disk.files.__setitem__(path, content))

    def overwrite(self, path: Path, content: bytes) -> None:
        self.write(path, content)

    def remove(self, path: Path) -> None:
        self.disk.removing(path)
        gone = [file for file in self.disk.files if file == path or path in file.parents]
        self.disk.write("unfile", lambda: [self.disk.files.pop(file) for file in gone])


@define(eq=False)
class Said:
    """An announcer that keeps what it was told."""

    notes: list[tuple[str, str, str]] = field(factory=list)

    def tell(self, about: Any, reason: str, message: str, *, warning: bool = False) -> None:
        self.notes.append((about.name, reason, message))


def driver_edits() -> Edits:
    return Edits(env=("DRIVER=580",), device_nodes=(DeviceNode("/dev/nvidiactl", 195, 255),))


@define(eq=False)
class Plugin:
    """The plugin's engine on one node, without gRPC: `wants` and `lets_go` are what the kubelet asks."""

    cluster: Cluster
    node: str
    disk: Disk = field(factory=Disk)
    seen: NodeReading = field(factory=reading)
    said: Said = field(factory=Said)
    edits: Callable[[], Edits] = driver_edits
    waker: channel_things.Waker = field(init=False)
    memory: Memory = field(init=False)
    engine: Engine = field(init=False)
    _tasks: list[asyncio.Task] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self.boot()

    def boot(self) -> None:
        """A fresh process: all that it knows is on the disk."""
        self.engine, self.waker, self.memory = Engine(clock), channel_things.Waker(), Memory()
        store, disk = self.engine.store, self.disk
        channel_snapshot.declare(store)
        daemon_snapshot.declare(store)
        files, cdi = RecordFiles(disk), CdiFiles(disk)
        channel = channel_things.Ports(self.cluster, store, files, cdi, Devices(disk), self.node, wall, self.waker)
        daemon = daemon_things.Ports(
            self.cluster, store, files, cdi, SmallFiles(disk), self.driver_root, DOMAINS, Path("/host") / "domains"
        )
        self.engine.add(
            Domain(
                channel_snapshot.KIND,
                statecharts.interpreter(channel_snapshot.KIND),
                channel_facts.FACTS,
                channel_things.things(channel),
                channel_snapshot.View(self.node).observe,
                PodVoice(self.said, self.memory),
                resync=60.0,
            )
        )
        self.engine.add(
            Domain(
                daemon_snapshot.KIND,
                statecharts.interpreter(daemon_snapshot.KIND),
                daemon_facts.FACTS,
                daemon_things.things(daemon),
                daemon_snapshot.View(self.node).observe,
                DaemonVoice(self.cluster),
                resync=60.0,
            )
        )
        for record in disk.records.values():
            store.put(RECORDS, record)
        for uid, spec in disk.specs.items():
            store.put(DISK_SPECS, DiskSpec(uid, spec, record_lost=uid in disk.lost))
        for file in disk.files:
            store.put(FOLDERS, DomainFolder(file.parent.name))
        store.put(READINGS, self.seen)

    def driver_root(self) -> Edits:
        """As it is when it is asked."""
        return self.edits()

    def start(self) -> None:
        rosters = RosterWatches(self.cluster, self.engine.store, OWN)
        self._tasks = [asyncio.create_task(work) for work in (rosters.run(), self.engine.run())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def restart(self) -> None:
        await self.stop()
        self.boot()
        self.start()

    # The kubelet.

    def wants(self, uid: str, domain: str, *, kind: str = "channel", **more: Any) -> None:
        """A call to prepare a claim begins, and waits."""
        call = Call(
            uid=uid,
            namespace="default" if kind == "channel" else OWN,
            name=f"claim-{uid}",
            kind=kind,
            domain=domain,
            devices=(RecordedDevice(kind, self.node, f"{kind}-0"),),
            pods=(PodRef(f"worker-{uid}", f"uid-{uid}"),),
            calling=1,
        )
        self.put(attrs.evolve(call, **more))

    def hangs_up(self, uid: str, *, fetched: bool = False) -> None:
        call = self.call(uid)
        if call is not None:
            self.put(attrs.evolve(call, calling=0, fetched=call.fetched or fetched))

    def lets_go(self, uid: str, kind: str = "channel") -> None:
        call = self.call(uid) or Call(uid, "default", f"claim-{uid}", kind)
        self.put(attrs.evolve(call, wanted=False, fetched=False, calling=0))

    def is_told_so(self, uid: str) -> None:
        """The gate's last act: the kubelet has its answer, and a claim that was never recorded is forgotten."""
        call = self.call(uid)
        if call is not None and not call.wanted and self.engine.store.get(RECORDS, uid) is None:
            self.engine.store.drop(CALLS, call)

    async def loses(self, uid: str) -> None:
        """The plugin starts again, and cannot read the claim's record."""
        del self.disk.records[uid]
        self.disk.lost.add(uid)
        await self.restart()

    def put(self, call: Call) -> None:
        self.engine.store.put(CALLS, call)

    def call(self, uid: str) -> Call | None:
        return self.engine.store.get(CALLS, uid)

    def looks(self, found: NodeReading) -> None:
        self.seen = found
        self.engine.store.put(READINGS, found)

    # What is so.

    def state(self, uid: str, kind: str = "channel") -> str | None:
        cell = self.engine.cells.get(Key(f"{kind}-claim", uid))
        return cell.state if cell else None

    def told(self, uid: str, kind: str = "channel") -> Any:
        return self.engine.told(Key(f"{kind}-claim", uid))

    @property
    def left(self) -> Mapping[str, Any]:
        """Everything of ours on the node."""
        found = {
            "records": dict(self.disk.records),
            "specs": dict(self.disk.specs),
            "devices": set(self.disk.devices),
            "files": dict(self.disk.files),
            "calls": self.engine.store.all(CALLS),
        }
        return {name: things for name, things in found.items() if things}


async def label(plugin: Plugin) -> str:
    """The domain that the node is labelled with."""
    node = await plugin.cluster.get(kinds.NODES, plugin.node)
    return node.metadata.labels.get("resource.nvidia.com/computeDomain", "")
