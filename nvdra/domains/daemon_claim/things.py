"""What a daemon claim keeps present and absent on its node, and what it passes on from the daemon."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
from attrs import define, field, frozen

from nvdra.api import kinds, names
from nvdra.api.local import CALLS, CLAIM_CDI_KIND, DAEMON_STATUSES, DISK_SPECS, FOLDERS, RECORDS, DiskSpec, DomainFolder
from nvdra.api.records import ClaimRecord
from nvdra.domains.daemon_claim.snapshot import DaemonClaimSnapshot, describes, device_name
from nvdra.engine.domain import Thing
from nvdra.engine.patience import Patience
from nvdra.engine.store import Store
from nvdra.errors import Conflict, Later, NotFound, NvdraError, Refused
from nvdra.node import Cdi, CdiSpec, DeviceNode, Edits, Mount, Records
from nvdra.ports import Cluster, Files, Json

WITHOUT_A_NOTE = 5.0
"""Seconds that a record may resist being written before its claim is let go all the same; the kubelet waits 30."""
NOTE_AFTER = 3.0
AWAITED_AFTER = 60.0
"""What passes by itself is a note when it does not: the controller lists a node after 40 s at the latest."""
"""A daemon that is not ready this soon says why; before, it is merely starting."""
IMEX_FOLDER = "/imexd"
"""Where the daemon sees the domain's folder."""


@frozen(eq=False)
class Ports:
    """What the handlers work with. `domains`: the folder of domain folders, as we see it and as the host does.

    `driver_edits`: what an IMEX daemon's container needs of the driver root; Refused names what is missing there.
    """

    cluster: Cluster
    store: Store
    records: Records
    cdi: Cdi
    files: Files
    driver_edits: Callable[[], Edits]
    domains: Path
    domains_on_host: Path


def things(ports: Ports) -> Mapping[str, Thing[DaemonClaimSnapshot]]:
    """Every thing of daemon-claim.yaml."""
    notes = Notes()
    return {
        "record": Record(ports, notes),
        "farewell": Farewell(ports),
        "domain-folder": Folder(ports),
        "cdi-spec": CdiFile(ports),
        "pod-note": PodNote(ports, notes),
    }


class _OneWay:
    """Things that are only ever ordered present: what they stand for ends with the record."""

    async def absent(self, seen: DaemonClaimSnapshot) -> None:
        raise AssertionError("never ordered")  # pragma: no cover - the statechart has no such order


@frozen(eq=False)
class Record:
    """The write-ahead record: first to come, last to go."""

    ports: Ports
    memory: "Notes"

    async def present(self, seen: DaemonClaimSnapshot) -> None:
        call = seen.call
        if call is None or (seen.record is not None and not seen.record.leaving and seen.record.pods == call.pods):
            return
        if seen.record is not None:
            self._put(attrs.evolve(seen.record, leaving=False, pods=call.pods))
            return
        self._put(
            ClaimRecord(
                uid=call.uid,
                namespace=call.namespace,
                name=call.name,
                kind="daemon",
                domain=call.domain,
                domain_name=call.domain_name,
                clique=seen.reading.clique.id,
                devices=call.devices,
                pods=call.pods,
            )
        )

    async def absent(self, seen: DaemonClaimSnapshot) -> None:
        if seen.record is not None:
            self.ports.records.remove(seen.uid)
            self.ports.store.drop(RECORDS, seen.record)
        if seen.call is not None and not seen.call.wanted and not seen.call.calling:
            self.ports.store.drop(CALLS, seen.call)
        self.memory.since.pop(seen.uid, None)
        self.memory.said.pop(seen.uid, None)

    def _put(self, record: ClaimRecord) -> None:
        try:
            self.ports.records.put(record)
        except NvdraError:
            # it may be on disk all the same: until that is known it counts, and what counts can be cleaned up
            if self.ports.store.get(RECORDS, record.uid) is None:
                self.ports.store.put(RECORDS, attrs.evolve(record, leaving=True))
            raise
        self.ports.store.put(RECORDS, record)


@frozen(eq=False)
class Farewell(_OneWay):
    """The note in the record that the kubelet has let the claim go."""

    ports: Ports
    patience: Patience = field(factory=lambda: Patience(WITHOUT_A_NOTE))

    async def present(self, seen: DaemonClaimSnapshot) -> None:
        if seen.record is not None and not seen.record.leaving:
            record = attrs.evolve(seen.record, leaving=True)
            # a full disk keeps no claim: its end may be what frees the disk; a restart just then needs the sweep
            self.patience.attempt(record.uid, lambda: self.ports.records.put(record), seen.now)
            self.ports.store.put(RECORDS, record)


@frozen(eq=False)
class Folder:
    """The domain's folder on this node, with the daemon's configuration and its status file."""

    ports: Ports

    async def present(self, seen: DaemonClaimSnapshot) -> None:
        if seen.record is None or seen.staged:
            return
        content = {"computeDomain": seen.record.domain_name, "uid": seen.record.domain, "clique": seen.record.clique}
        self.ports.files.write(self._path(seen.record) / "domain.json", json.dumps(content).encode())
        self.ports.store.put(FOLDERS, DomainFolder(seen.record.domain))

    async def absent(self, seen: DaemonClaimSnapshot) -> None:
        if seen.record is None or seen.shared:
            return
        self.ports.files.remove(self._path(seen.record))
        if seen.daemon is not None:
            self.ports.store.drop(DAEMON_STATUSES, seen.daemon)
        self.ports.store.drop(FOLDERS, DomainFolder(seen.record.domain))

    def _path(self, record: ClaimRecord) -> Path:
        return self.ports.domains / record.domain


@frozen(eq=False)
class CdiFile:
    """The claim's CDI file: what the daemon's container gets from the driver, and from us."""

    ports: Ports

    async def present(self, seen: DaemonClaimSnapshot) -> None:
        if seen.record is None or (seen.disk is not None and describes(seen.disk, seen.record, seen.reading.driver)):
            return
        spec = CdiSpec(CLAIM_CDI_KIND, {device_name(seen.record): self._edits(seen, seen.record)})
        self.ports.store.put(DISK_SPECS, DiskSpec(seen.uid, CdiSpec(CLAIM_CDI_KIND)))  # whatever becomes of it
        self.ports.cdi.write(spec, seen.uid)
        self.ports.store.put(DISK_SPECS, DiskSpec(seen.uid, spec))

    async def absent(self, seen: DaemonClaimSnapshot) -> None:
        self.ports.cdi.remove(CLAIM_CDI_KIND, seen.uid)
        if seen.disk is not None:
            self.ports.store.drop(DISK_SPECS, seen.disk)

    def _edits(self, seen: DaemonClaimSnapshot, record: ClaimRecord) -> Edits:
        namespace, _, name = record.domain_name.rpartition("/")
        env = (
            f"CLIQUE_ID={record.clique}",
            f"COMPUTE_DOMAIN_UUID={record.domain}",
            f"COMPUTE_DOMAIN_NAME={name}",
            f"COMPUTE_DOMAIN_NAMESPACE={namespace}",
            f"DRIVER_VERSION={seen.reading.driver}",
        )
        folder = Mount(str(self.ports.domains_on_host / record.domain), IMEX_FOLDER)
        driver = self.ports.driver_edits()
        nodes = (*driver.device_nodes, *_management(seen, record))
        return Edits((*driver.env, *env), tuple(dict.fromkeys(nodes)), (*driver.mounts, folder))


@frozen(eq=False)
class PodNote(_OneWay):
    """Why the daemon is not ready, on its pod: the controller and the other nodes read it there."""

    ports: Ports
    memory: "Notes"

    async def present(self, seen: DaemonClaimSnapshot) -> None:
        record, status = seen.record, seen.daemon
        if record is None or status is None:
            return
        if not status.reason:
            self.memory.since.pop(seen.uid, None)
            if await self._worried(seen, record):
                await self._say(seen, record, "")
            return
        due = self._since(seen, status.awaited) + (AWAITED_AFTER if status.awaited else NOTE_AFTER)
        if seen.now < due:
            raise Later("the daemon is starting", after=due - seen.now)
        await self._say(seen, record, f"{names.WORRY}{status.reason}" if status.ready else status.reason)

    def _since(self, seen: DaemonClaimSnapshot, awaited: bool) -> float:
        """Since when it waits so. Whoever was listed late has its own time to start."""
        before = self.memory.since.get(seen.uid)
        if before is None or before[0] != awaited:
            self.memory.since[seen.uid] = (awaited, seen.now)
        return self.memory.since[seen.uid][1]

    async def _say(self, seen: DaemonClaimSnapshot, record: ClaimRecord, text: str) -> None:
        if self.memory.said.get(seen.uid) == text:
            return
        for pod in record.pods:
            patch: Json = {"metadata": {"uid": pod.uid, "annotations": {names.NOTE_ANNOTATION: text or None}}}
            try:
                await self.ports.cluster.patch(kinds.PODS, pod.name, patch, record.namespace)
            except (NotFound, Conflict):
                continue
        self.memory.said[seen.uid] = text

    async def _worried(self, seen: DaemonClaimSnapshot, record: ClaimRecord) -> bool:
        """Whether the pod still tells a worry that is over: as we remember, or after a restart of ours as it says."""
        if seen.uid in self.memory.said or seen.call is not None:
            return self.memory.said.get(seen.uid, "").startswith(names.WORRY)
        self.memory.said[seen.uid] = ""
        for pod in record.pods:
            try:
                there = await self.ports.cluster.get(kinds.PODS, pod.name, record.namespace)
            except NotFound:
                continue
            note = there.metadata.annotations.get(names.NOTE_ANNOTATION, "")
            if there.metadata.uid == pod.uid and note.startswith(names.WORRY):
                self.memory.said[seen.uid] = note
                return True
        return False


@define(eq=False)
class Notes:
    """Since when each claim's daemon is not ready, whether it has only to wait, and what its pod says of it."""

    since: dict[str, tuple[bool, float]] = field(factory=dict)
    said: dict[str, str] = field(factory=dict)


def _management(seen: DaemonClaimSnapshot, record: ClaimRecord) -> tuple[DeviceNode, ...]:
    """The capability that lets nvidia-imex manage the fabric."""
    if not record.clique:
        return ()
    numbers = seen.reading.numbers
    if numbers.caps_major is None or numbers.imex_mgmt_minor is None:
        raise Refused(
            f"{seen.node_name} lacks the IMEX management capability: {numbers.error or 'fabric-imex-mgmt not found'}."
            " Is the NVIDIA driver loaded, and a version with IMEX?",
            reason="NoImexManagement",
        )
    return (
        DeviceNode(
            f"/dev/nvidia-caps/nvidia-cap{numbers.imex_mgmt_minor}", numbers.caps_major, numbers.imex_mgmt_minor
        ),
    )
