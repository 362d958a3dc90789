"""What one settle of a channel claim may look at, and how it is taken from the store. Pure."""

from attrs import field, frozen

from nvdra.api import kinds, names
from nvdra.api.computedomain import Roster, RosterEntry
from nvdra.api.kind import Kind
from nvdra.api.local import (
    CALLS,
    CLAIM_CDI_KIND,
    DAEMON_STATUSES,
    DISK_SPECS,
    READINGS,
    RECORDS,
    Call,
    DaemonStatus,
    DiskSpec,
    NodeReading,
)
from nvdra.api.objects import Node
from nvdra.api.records import ClaimRecord
from nvdra.engine.queue import Key
from nvdra.engine.store import Store
from nvdra.errors import NotYet
from nvdra.node import CdiSpec, DeviceNode, Edits

KIND = "channel-claim"
CHANNEL_FOLDER = "/dev/nvidia-caps-imex-channels"


@frozen
class ChannelClaimSnapshot:
    """One claim, and the node that it is on. `peers`: the other records of this node."""

    uid: str
    now: float
    node_name: str
    reading: NodeReading
    call: Call | None = None
    record: ClaimRecord | None = None
    peers: tuple[ClaimRecord, ...] = ()
    node: Node | None = None
    roster: Roster | None = None
    disk: DiskSpec | None = None
    daemon: DaemonStatus | None = None

    @property
    def entry(self) -> RosterEntry | None:
        """This node's entry in the roster."""
        return self.roster.entry(self.node_name) if self.roster else None

    @property
    def label(self) -> str:
        """The uid of the ComputeDomain whose label the node carries, as last read; "" for none."""
        return self.node.metadata.labels.get(names.DOMAIN_LABEL, "") if self.node else ""


@frozen
class View:
    """How snapshots are taken on one node."""

    node_name: str
    rosters: Kind[Roster] = field(default=kinds.ROSTERS)

    def observe(self, store: Store, key: Key, now: float) -> ChannelClaimSnapshot:
        """Freeze the view. Raises NotYet until the hardware was looked at once."""
        reading = store.get(READINGS, "node")
        if reading is None:
            raise NotYet("the hardware has not been looked at yet")
        record, call = store.get(RECORDS, key.id), store.get(CALLS, key.id)
        domain = record.domain if record else call.domain if call else ""
        clique = record.clique if record else reading.clique.id
        return ChannelClaimSnapshot(
            uid=key.id,
            now=now,
            node_name=self.node_name,
            reading=reading,
            call=call,
            record=record,
            peers=tuple(peer for peer in store.all(RECORDS) if peer.uid != key.id),
            node=store.get(kinds.NODES, self.node_name),
            roster=_roster(store, names.roster_name(domain, clique)) if domain else None,
            disk=store.get(DISK_SPECS, key.id),
            daemon=store.get(DAEMON_STATUSES, domain) if domain else None,
        )


def declare(store: Store) -> None:
    """Which changes concern channel claims."""

    def every(_: object) -> list[Key]:
        known = {call.uid for call in store.all(CALLS) if call.kind == "channel"}
        known |= {record.uid for record in store.all(RECORDS) if record.kind == "channel"}
        return [Key(KIND, uid) for uid in known]

    store.concern(CALLS, lambda call: [Key(KIND, call.uid)] if call.kind == "channel" else [])
    store.concern(DISK_SPECS, lambda disk: [Key(KIND, disk.uid)] if channels_of(disk.spec) else [])
    for sort in (RECORDS, READINGS, kinds.NODES, kinds.ROSTERS, DAEMON_STATUSES):
        store.concern(sort, every)


def wanted_spec(record: ClaimRecord, reading: NodeReading) -> CdiSpec | None:
    """The CDI file that a claim should have; None without a fabric: nothing is injected there."""
    nodes = channel_nodes(record, reading)
    if not nodes:
        return None
    # one device for all results of the claim: containerd 1.7 does not merge equal ids
    return CdiSpec(CLAIM_CDI_KIND, {device_name(record): Edits(device_nodes=nodes)})


def device_name(record: ClaimRecord) -> str:
    """The claim's CDI device."""
    return f"{record.uid}-channel-0"


def channel_nodes(record: ClaimRecord, reading: NodeReading) -> tuple[DeviceNode, ...]:
    """The device nodes of a claim: channel 0, or as many as the driver has."""
    major = reading.numbers.channel_major
    if not record.clique or major is None:
        return ()
    count = reading.numbers.channels if record.mode == "All" else 1
    return tuple(DeviceNode(f"{CHANNEL_FOLDER}/channel{n}", major, n) for n in range(count))


def channels_of(spec: CdiSpec) -> frozenset[str]:
    """The channels that a file names, by path."""
    return frozenset(
        node.path
        for edits in spec.devices.values()
        for node in edits.device_nodes
        if node.path.startswith(CHANNEL_FOLDER)
    )


def _roster(store: Store, name: str) -> Roster | None:
    return next((roster for roster in store.all(kinds.ROSTERS) if roster.metadata.name == name), None)
