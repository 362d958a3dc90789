"""What one settle of a daemon claim may look at, and how it is taken from the store. Pure."""

from attrs import frozen

from nvdra.api.local import (
    CALLS,
    DAEMON_STATUSES,
    DISK_SPECS,
    FOLDERS,
    READINGS,
    RECORDS,
    Call,
    DaemonStatus,
    DiskSpec,
    NodeReading,
)
from nvdra.api.records import ClaimRecord
from nvdra.engine.queue import Key
from nvdra.engine.store import Store
from nvdra.errors import NotYet

KIND = "daemon-claim"
DOMAIN_MARK = "COMPUTE_DOMAIN_UUID="


@frozen
class DaemonClaimSnapshot:
    """One claim, and the node that it is on. `shared`: another daemon claim of the domain uses its folder here."""

    uid: str
    now: float
    node_name: str
    reading: NodeReading
    call: Call | None = None
    record: ClaimRecord | None = None
    disk: DiskSpec | None = None
    staged: bool = False
    shared: bool = False
    daemon: DaemonStatus | None = None


@frozen
class View:
    """How snapshots are taken on one node."""

    node_name: str

    def observe(self, store: Store, key: Key, now: float) -> DaemonClaimSnapshot:
        """Freeze the view. Raises NotYet until the hardware was looked at once."""
        reading = store.get(READINGS, "node")
        if reading is None:
            raise NotYet("the hardware has not been looked at yet")
        record, call = store.get(RECORDS, key.id), store.get(CALLS, key.id)
        domain = record.domain if record else call.domain if call else ""
        return DaemonClaimSnapshot(
            uid=key.id,
            now=now,
            node_name=self.node_name,
            reading=reading,
            call=call,
            record=record,
            disk=store.get(DISK_SPECS, key.id),
            staged=bool(domain) and store.get(FOLDERS, domain) is not None,
            shared=domain in domains_used(store, but=key.id),
            daemon=store.get(DAEMON_STATUSES, domain) if domain else None,
        )


def declare(store: Store) -> None:
    """Which changes concern daemon claims."""

    def every(_: object) -> list[Key]:
        known = {call.uid for call in store.all(CALLS) if call.kind == "daemon"}
        known |= {record.uid for record in store.all(RECORDS) if record.kind == "daemon"}
        return [Key(KIND, uid) for uid in known]

    store.concern(CALLS, lambda call: [Key(KIND, call.uid)] if call.kind == "daemon" else [])
    store.concern(DISK_SPECS, lambda disk: [Key(KIND, disk.uid)] if _of_daemon(disk) else [])
    for sort in (RECORDS, READINGS, FOLDERS, DAEMON_STATUSES):
        store.concern(sort, every)


def device_name(record: ClaimRecord) -> str:
    """The claim's CDI device."""
    return f"{record.uid}-daemon-0"


def describes(disk: DiskSpec, record: ClaimRecord, driver: str = "") -> bool:
    """Whether the CDI file is of this claim, its domain, its clique, and the driver that is there, if one is.

    Another driver's files have other names: a daemon whose container is started again would not find the old ones.
    """
    edits = disk.spec.devices.get(device_name(record))
    marks = [f"{DOMAIN_MARK}{record.domain}", f"CLIQUE_ID={record.clique}"]
    marks += [f"DRIVER_VERSION={driver}"] if driver else []
    return edits is not None and all(mark in edits.env for mark in marks)


def domains_used(store: Store, but: str = "") -> frozenset[str]:
    """Domains whose folder a daemon claim here uses, other than that one: by its record, or by what is left of it."""
    recorded = {record.domain for record in store.all(RECORDS) if record.kind == "daemon" and record.uid != but}
    lost = [disk for disk in store.all(DISK_SPECS) if disk.record_lost and disk.uid != but]
    return frozenset(recorded.union(*(_domains_of(disk) for disk in lost)))


def _of_daemon(disk: DiskSpec) -> bool:
    return any(name.endswith("-daemon-0") for name in disk.spec.devices)


def _domains_of(disk: DiskSpec) -> set[str]:
    """One for a daemon's file, none for a worker's."""
    env = [entry for edits in disk.spec.devices.values() for entry in edits.env]
    return {entry.removeprefix(DOMAIN_MARK) for entry in env if entry.startswith(DOMAIN_MARK)}
