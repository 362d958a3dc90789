"""What a channel claim keeps present and absent on its node, and whom it wakes."""

import asyncio
from collections.abc import Mapping, Sequence

import attrs
from attrs import define, field, frozen
from msgspec.structs import replace

from nvdra.api import kinds, names
from nvdra.api.local import CALLS, CLAIM_CDI_KIND, DISK_SPECS, RECORDS, DiskSpec
from nvdra.api.records import ClaimRecord, PodRef
from nvdra.api.timestamps import rfc3339
from nvdra.domains.channel_claim.facts import readiness, vacancy
from nvdra.domains.channel_claim.label import NodeLabel
from nvdra.domains.channel_claim.snapshot import CHANNEL_FOLDER, ChannelClaimSnapshot, channel_nodes, wanted_spec
from nvdra.engine.domain import Thing
from nvdra.engine.patience import Patience
from nvdra.engine.store import Store
from nvdra.errors import Again, ApiError, Conflict, Later, NotFound, NvdraError, Refused
from nvdra.node import Cdi, CdiSpec, DeviceNode, DeviceNodes, Records
from nvdra.ports import Cluster, WallClock

FIRST_WAKE_UP = 5.0
LAST_WAKE_UP = 60.0
FORBIDDEN = 403
WITHOUT_A_NOTE = 5.0
"""Seconds that a record may resist being written before its claim is let go all the same; the kubelet waits 30."""
REFUSED_FOR = 300.0


@frozen(eq=False)
class Ports:
    """What the handlers work with."""

    cluster: Cluster
    store: Store
    records: Records
    cdi: Cdi
    device_nodes: DeviceNodes
    node_name: str
    wall: WallClock
    waker: "Waker"


@define(eq=False)
class Waker:
    """Since when we may not touch pods, when each claim's pods were last touched, and which of them wait no more."""

    refused_at: float = float("-inf")
    touched: dict[str, tuple[float, int]] = field(factory=dict)
    awake: dict[str, tuple[PodRef, ...]] = field(factory=dict)

    def allowed(self, now: float) -> bool:
        """A right that was missing is tried again: it may have been, for a moment, while a release was replaced."""
        return now - self.refused_at >= REFUSED_FOR


def things(ports: Ports) -> Mapping[str, Thing[ChannelClaimSnapshot]]:
    """Every thing of channel-claim.yaml."""
    return {
        "record": Record(ports),
        "farewell": Farewell(ports),
        "node-label": NodeLabel(ports.cluster, ports.store),
        "release": Release(ports),
        "cdi-spec": CdiFile(ports),
        "wake-up": WakeUp(ports),
    }


class _OneWay:
    """Things that are only ever ordered present: what they stand for ends with the record."""

    async def absent(self, seen: ChannelClaimSnapshot) -> None:
        raise AssertionError("never ordered")  # pragma: no cover - the statechart has no such order


@frozen(eq=False)
class Record:
    """The write-ahead record: first to come, last to go."""

    ports: Ports

    async def present(self, seen: ChannelClaimSnapshot) -> None:
        call = seen.call
        if call is None or (seen.record is not None and not seen.record.leaving and seen.record.pods == call.pods):
            return
        if seen.record is not None:  # the kubelet asks again, perhaps for another pod, or after it had let go
            still = seen.record.released and not seen.record.leaving
            self._put(attrs.evolve(seen.record, leaving=False, pods=call.pods, released=still))
            return
        # no await between the look and the write: two claims cannot both find the node free
        free = vacancy(attrs.evolve(seen, peers=self._peers(seen.uid)), call.domain)
        if not free.holds:
            raise Again(free.because, after=0.5)
        record = ClaimRecord(
            uid=call.uid,
            namespace=call.namespace,
            name=call.name,
            kind="channel",
            domain=call.domain,
            domain_name=call.domain_name,
            clique=seen.reading.clique.id,
            mode=call.mode,
            devices=call.devices,
            pods=call.pods,
        )
        missing = self.ports.device_nodes.missing(channel_nodes(record, seen.reading))
        self._put(attrs.evolve(record, made=tuple(node.minor for node in missing)))

    async def absent(self, seen: ChannelClaimSnapshot) -> None:
        if seen.record is not None:
            _unmake(self.ports, seen, seen.record)  # again: we may have ended right after the CDI file went
            self.ports.records.remove(seen.uid)
            self.ports.store.drop(RECORDS, seen.record)
        if seen.call is not None and not seen.call.wanted and not seen.call.calling:
            self.ports.store.drop(CALLS, seen.call)
        self.ports.waker.touched.pop(seen.uid, None)
        self.ports.waker.awake.pop(seen.uid, None)

    def _put(self, record: ClaimRecord) -> None:
        try:
            self.ports.records.put(record)
        except NvdraError:
            # it may be on disk all the same: until that is known it counts, and what counts can be cleaned up
            if self.ports.store.get(RECORDS, record.uid) is None:
                self.ports.store.put(RECORDS, attrs.evolve(record, leaving=True))
            raise
        self.ports.store.put(RECORDS, record)

    def _peers(self, uid: str) -> tuple[ClaimRecord, ...]:
        return tuple(peer for peer in self.ports.store.all(RECORDS) if peer.uid != uid)


@frozen(eq=False)
class Farewell(_OneWay):
    """The note in the record that the kubelet has let the claim go."""

    ports: Ports
    patience: Patience = field(factory=lambda: Patience(WITHOUT_A_NOTE))

    async def present(self, seen: ChannelClaimSnapshot) -> None:
        if seen.record is not None and not seen.record.leaving:
            record = attrs.evolve(seen.record, leaving=True)
            # a full disk keeps no claim: its end may be what frees the disk; a restart just then needs the sweep
            self.patience.attempt(record.uid, lambda: self.ports.records.put(record), seen.now)
            self._doubt(seen, record)
            self.ports.store.put(RECORDS, record)

    def _doubt(self, seen: ChannelClaimSnapshot, record: ClaimRecord) -> None:
        """A label whose answer was lost may be there unseen: it counts as there until the API says that it is gone."""
        node = self.ports.store.get(kinds.NODES, seen.node_name)
        if node is not None and names.DOMAIN_LABEL not in node.metadata.labels:
            labels = {**node.metadata.labels, names.DOMAIN_LABEL: record.domain}
            self.ports.store.put(kinds.NODES, replace(node, metadata=replace(node.metadata, labels=labels)))


@frozen(eq=False)
class Release(_OneWay):
    """Letting the worker go. Cannot be taken back, so roster, label and daemon are read live."""

    ports: Ports

    async def present(self, seen: ChannelClaimSnapshot) -> None:
        if seen.record is None or seen.record.released or seen.roster is None:
            return
        cluster, meta = self.ports.cluster, seen.roster.metadata
        live, node = await asyncio.gather(
            cluster.get(kinds.ROSTERS, meta.name, meta.namespace), cluster.get(kinds.NODES, seen.node_name)
        )
        now = attrs.evolve(seen, roster=live, node=node)
        if live.metadata.uid != meta.uid or now.label != seen.record.domain or not readiness(now).holds:
            self.ports.store.learn(kinds.ROSTERS, live)
            self.ports.store.learn(kinds.NODES, node)
            raise Again("the roster, or the node's label, says otherwise by now", after=0.2)
        await self._daemon_stays(now, meta.namespace)
        record = attrs.evolve(seen.record, released=True)
        self.ports.records.put(record)
        self.ports.store.put(RECORDS, record)

    async def _daemon_stays(self, now: ChannelClaimSnapshot, namespace: str) -> None:
        """The roster may be a moment older than the deletion of the daemon that it calls ready."""
        entry = now.entry
        if entry is None or not entry.cliqueID:
            return
        try:
            pod = await self.ports.cluster.get(kinds.PODS, entry.pod, namespace)
        except NotFound as error:
            raise Again(f"the IMEX daemon's pod {entry.pod} is gone by now", after=0.2) from error
        if pod.metadata.deleting or not pod.ready:
            raise Again(f"the IMEX daemon's pod {entry.pod} is not ready any more", after=0.2)


@frozen(eq=False)
class CdiFile:
    """The claim's CDI file, and on the host the device nodes that it names."""

    ports: Ports

    async def present(self, seen: ChannelClaimSnapshot) -> None:
        if seen.record is None or not seen.record.clique:
            return
        wanted = wanted_spec(seen.record, seen.reading)
        if wanted is None:
            self._no_majors(seen)
            return
        nodes = channel_nodes(seen.record, seen.reading)
        missing = self.ports.device_nodes.missing(nodes)
        if seen.disk is not None and seen.disk.spec == wanted and not missing and not seen.disk.nodes_missing:
            return
        self._note(seen.record, missing)
        self.ports.device_nodes.make(missing)
        if seen.disk is None or seen.disk.spec != wanted:
            self.ports.store.put(DISK_SPECS, DiskSpec(seen.uid, CdiSpec(CLAIM_CDI_KIND)))  # whatever becomes of it
            self.ports.cdi.write(wanted, seen.uid)
        self.ports.store.put(DISK_SPECS, DiskSpec(seen.uid, wanted))

    async def absent(self, seen: ChannelClaimSnapshot) -> None:
        self.ports.cdi.remove(CLAIM_CDI_KIND, seen.uid)
        if seen.record is not None:
            _unmake(self.ports, seen, seen.record)
        if seen.disk is not None:
            self.ports.store.drop(DISK_SPECS, seen.disk)

    def _note(self, record: ClaimRecord, missing: Sequence[DeviceNode]) -> None:
        """What we are about to make is ours to remove: written down first, as when the claim was recorded."""
        made = tuple(sorted({*record.made, *(node.minor for node in missing)}))
        if made != record.made:
            self.ports.records.put(attrs.evolve(record, made=made))
            self.ports.store.put(RECORDS, attrs.evolve(record, made=made))

    def _no_majors(self, seen: ChannelClaimSnapshot) -> None:
        if seen.disk is None:
            said = seen.reading.numbers.error or "nvidia-caps-imex-channels is not in /proc/devices"
            raise Refused(
                f"{seen.node_name} has no IMEX channels: {said}. Is the NVIDIA driver loaded, with"
                " NVreg_CreateImexChannel0 or NVreg_ImexChannelCount?",
                reason="NoImexChannels",
            )


def _unmake(ports: Ports, seen: ChannelClaimSnapshot, record: ClaimRecord) -> None:
    """Take away the device nodes that were made for a claim."""
    if record.made:
        major = seen.reading.numbers.channel_major or 0
        ports.device_nodes.remove([DeviceNode(f"{CHANNEL_FOLDER}/channel{n}", major, n) for n in record.made])


@frozen(eq=False)
class WakeUp(_OneWay):
    """A touch of the waiting pods: the kubelet tries at once instead of after 60 to 90 s (dra-protocol.md §2.7)."""

    ports: Ports

    async def present(self, seen: ChannelClaimSnapshot) -> None:
        waker, record = self.ports.waker, seen.record
        if record is None or not waker.allowed(seen.now) or waker.awake.get(seen.uid) == record.pods:
            return
        last, count = waker.touched.get(seen.uid, (float("-inf"), 0))
        due = last + min(FIRST_WAKE_UP * 2 ** max(0, count - 1), LAST_WAKE_UP)
        if count and seen.now < due:
            raise Later("the kubelet has been woken", after=due - seen.now)
        waker.touched[seen.uid] = (seen.now, count + 1)
        pending = [await self._touch(record, pod, seen.now) for pod in record.pods]
        if any(pending):
            raise Later("the kubelet has been woken", after=min(FIRST_WAKE_UP * 2**count, LAST_WAKE_UP))
        waker.awake[seen.uid] = record.pods  # its containers run already, or the pod is gone: nobody to wake
        call = self.ports.store.get(CALLS, seen.uid)  # as it is now: the kubelet may have called, or let go, meanwhile
        if call is not None and call.wanted:
            self.ports.store.put(CALLS, attrs.evolve(call, fetched=True))

    async def _touch(self, record: ClaimRecord, pod: PodRef, now: float) -> bool:
        """Whether the pod still waits."""
        note = {names.NOTE_ANNOTATION: f"released {rfc3339(self.ports.wall())}"}
        patch = {"metadata": {"uid": pod.uid, "annotations": note}}
        try:
            after = await self.ports.cluster.patch(kinds.PODS, pod.name, patch, record.namespace)
        except (NotFound, Conflict):
            return False
        except ApiError as error:
            if error.code != FORBIDDEN:
                raise
            self.ports.waker.refused_at = now
            raise Refused(
                f"may not touch pods, so workers are held by their call instead of being woken: {error}",
                reason="MayNotTouchPods",
            ) from error
        return after.status.phase in ("", "Pending")
