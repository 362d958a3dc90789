"""What a plugin finds when it starts, whom it wakes once the kubelet knows it, and what it sweeps while it runs.

Records, CDI files, folders, the node's label, claims whose kubelet has forgotten them.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import attrs
from attrs import define, field

from nvdra.adapters.cdi import CdiFolder
from nvdra.adapters.checkpoint import Records
from nvdra.adapters.kube.backoff import Backoff
from nvdra.adapters.looptime import a_generator, loop_time
from nvdra.api import kinds, names
from nvdra.api.kind import Kind
from nvdra.api.local import (
    CALLS,
    CLAIM_CDI_KIND,
    DAEMON_STATUSES,
    DISK_SPECS,
    FOLDERS,
    RECORDS,
    Call,
    DiskSpec,
    DomainFolder,
)
from nvdra.api.membership import leaving_patch
from nvdra.api.records import ClaimRecord
from nvdra.api.resources import ResourceClaim
from nvdra.api.timestamps import micro_time
from nvdra.apps.own_node import OwnNode
from nvdra.domains.channel_claim.snapshot import channels_of
from nvdra.domains.daemon_claim.snapshot import domains_used
from nvdra.engine.store import Store
from nvdra.errors import Again, Conflict, Forbidden, NotFound, NvdraError
from nvdra.ports import Announcer, Cluster, Folders, Subject, WallClock

log = logging.getLogger(__name__)

SPREAD = 0.25
ENDED = ("Succeeded", "Failed")
"""Phases of a pod whose containers have ended; its claims may be gone."""
WOKEN_AGAIN = (2.0, 30.0)
"""Seconds until waiting pods are woken again that could not be; from the first to the last pause."""


@define(eq=False)
class Recovery:
    """One node's leftovers. Nothing here decides: it puts what it finds into the store, where lives go on."""

    cluster: Cluster
    store: Store
    records: Records
    cdi: CdiFolder
    files: Folders
    domains: Path
    node: OwnNode
    claims: Kind[ResourceClaim]
    announcer: Announcer
    wall: WallClock
    every: float = 60.0
    sure: float = 35.0
    """Seconds that claim and pods must be gone: a pod deleted by force still runs while its kubelet ends it."""
    rng: random.Random = field(factory=a_generator)
    _missed: dict[str, float] = field(factory=dict, init=False)
    _swept: bool = field(default=False, init=False)
    quarantined: dict[str, str] = field(factory=dict, init=False)
    """By the claim's uid, what became of a record that could not be read."""

    def from_disk(self) -> None:
        """Records, CDI files and folders, before anybody calls."""
        records, quarantined = self.records.load_all()
        for bad in quarantined:
            text = (
                f"claim record set aside as {bad.path.name}: {bad.because};"
                " what its container uses stays until the claim is released, and the record is made anew when the"
                " kubelet prepares it again; look at the node's disk"
            )
            self.quarantined[bad.path.name.partition(".")[0]] = text
            about = Subject("v1", "Node", self.node.name, uid=self.node.name)
            self.announcer.tell(about, "ClaimRecordQuarantined", text, warning=True)
        for record in records:
            self.store.put(RECORDS, self._after_reboot(record) if record.stale_boot else record)
        lost = {*self.records.set_aside(), *self.quarantined} - {record.uid for record in records}
        for uid in sorted(self.cdi.claims()):
            self._cdi_file(uid, record_lost=uid in lost)
        used = domains_used(self.store)
        for name in self.files.names(self.domains):
            if name in used:
                self.store.put(FOLDERS, DomainFolder(name))
            else:
                self.files.remove(self.domains / name)

    def _after_reboot(self, record: ClaimRecord) -> ClaimRecord:
        """No container survived: the worker must wait for its domain again, and no device node of ours is there."""
        fresh = attrs.evolve(record, released=False, made=(), boot_id="", stale_boot=False)
        self.records.put(fresh)
        return attrs.evolve(fresh, boot_id=self.records.boot_id)

    def _cdi_file(self, uid: str, *, record_lost: bool) -> None:
        spec = self.cdi.read(CLAIM_CDI_KIND, uid)
        if spec is None:
            self.cdi.remove(CLAIM_CDI_KIND, uid)
            return
        self.store.put(DISK_SPECS, DiskSpec(uid, spec, record_lost=record_lost))

    async def run(self) -> None:
        """Sweep until cancelled; the API server may be away for any time."""
        while True:
            try:
                await self.sweep()
            except NvdraError as error:
                log.info("sweep put off: %s", error)
            # in a rhythm of its own: thousands of plugins are started in the same minute
            pause = self.every * self.rng.uniform(1 - SPREAD, 1 + SPREAD)
            await asyncio.sleep(min(pause, self.sure) if self._missed else pause)

    async def wake_pending(self, registered: Callable[[], bool], told: asyncio.Event) -> None:
        """Each time that the kubelet registers us, which it says by `told`, until cancelled.

        Pods whose first try met nobody would wait a minute and more for the next. Once is not enough: a kubelet that
        still dials our predecessor's socket registers us, drops us a moment later, and registers us again.
        """
        while True:
            await told.wait()
            told.clear()
            if registered():
                await self._wake()

    async def _wake(self) -> None:
        backoff = Backoff(*WOKEN_AGAIN, a_generator())
        while True:
            try:
                return await self._touch_waiting()
            except Forbidden as error:
                log.info("waiting pods are not woken, the kubelet tries again by itself: %s", error)
                return None
            except Again as error:
                log.info("waiting pods were not woken yet: %s", error)
                backoff.at_least(error.after or 0.0)
            await asyncio.sleep(backoff.next())

    async def _touch_waiting(self) -> None:
        """One list; a touch of a pod that needs none makes the kubelet look at it, and nothing else."""
        note = {"metadata": {"annotations": {names.NOTE_ANNOTATION: f"{names.WOKEN}{micro_time(self.wall())}"}}}
        pods = await self.cluster.list(kinds.PODS, fields=f"spec.nodeName={self.node.name},status.phase=Pending")
        for pod in pods.items:
            if pod.spec.resourceClaims and not pod.metadata.deleting:
                with suppress(NotFound):
                    await self.cluster.patch(kinds.PODS, pod.metadata.name, note, pod.metadata.namespace)

    async def sweep(self) -> None:
        """What stands for no claim, and claims that are gone with their pods."""
        await self._stray_label()
        self._stray_folders()
        records, calls, lost = self.store.all(RECORDS), self.store.all(CALLS), self._lost()
        known = {record.uid for record in records} | {call.uid for call in calls} | {disk.uid for disk in lost}
        self._missed = {uid: since for uid, since in self._missed.items() if uid in known}
        for record in records:
            await self._release(record)
        for call in calls:
            if not self._recorded(call.uid):
                await self._forget(call)
        if lost:
            await self._let_go(lost)

    async def _release(self, record: ClaimRecord) -> None:
        call = self.store.get(CALLS, record.uid)
        gone = not (record.leaving or (call and call.calling)) and await self._gone(record)
        if self._for_good(record.uid, gone):
            log.info("%s is gone and so are its pods: released", record, extra={"key": record.uid})
            done = Call(record.uid, record.namespace, record.name, record.kind, wanted=False)
            self.store.put(CALLS, done)

    async def _forget(self, call: Call) -> None:
        """A claim that was refused before it was recorded: its kubelet may have forgotten it too."""
        gone = not call.calling and await self._gone(call)
        unchanged = self.store.get(CALLS, call.uid) == call and not self._recorded(call.uid)
        if self._for_good(call.uid, gone and unchanged):
            log.info("claim %s/%s is gone and was never recorded: forgotten", call.namespace, call.name)
            self.store.drop(CALLS, call)

    def _for_good(self, uid: str, gone: bool) -> bool:
        """Whether it has been gone, at each look, for as long as containers may outlive their pods."""
        if not gone:
            self._missed.pop(uid, None)
            return False
        if loop_time() - self._missed.setdefault(uid, loop_time()) < self.sure:
            return False
        del self._missed[uid]
        return True

    def _lost(self) -> tuple[DiskSpec, ...]:
        """CDI files whose record was lost, as long as the kubelet has said nothing of their claims."""
        left = (disk for disk in self.store.all(DISK_SPECS) if disk.record_lost)
        return tuple(disk for disk in left if not self._recorded(disk.uid) and not self._called(disk.uid))

    def _recorded(self, uid: str) -> bool:
        return self.store.get(RECORDS, uid) is not None

    def _called(self, uid: str) -> bool:
        return self.store.get(CALLS, uid) is not None

    async def _let_go(self, lost: Sequence[DiskSpec]) -> None:
        """Which claims they were, only the pods of this node can tell."""
        held = await self._held()
        for disk in lost:
            if self._for_good(disk.uid, held is not None and disk.uid not in held) and not self._called(disk.uid):
                log.info("no pod here holds claim %s, whose record was lost: its CDI file goes", disk.uid)
                self.store.put(DISK_SPECS, attrs.evolve(disk, record_lost=False))

    async def _held(self) -> set[str] | None:
        """Uids of the claims of this node's pods. None: one is gone that may have been any, as names come again."""
        held = set()
        for pod in (await self.cluster.list(kinds.PODS, fields=f"spec.nodeName={self.node.name}")).items:
            for name in pod.claim_names if pod.status.phase not in ENDED else ():
                try:
                    claim = await self.cluster.get(self.claims, name, pod.metadata.namespace)
                except NotFound:
                    return None
                held.add(claim.metadata.uid)
        return held

    def _stray_folders(self) -> None:
        """Left by a daemon whose record was lost: no life knew that it was its."""
        used = domains_used(self.store)
        for folder in self.store.all(FOLDERS):
            if folder.domain not in used:
                self.files.remove(self.domains / folder.domain)
                self.store.drop(FOLDERS, folder)
                status = self.store.get(DAEMON_STATUSES, folder.domain)
                if status is not None:
                    self.store.drop(DAEMON_STATUSES, status)

    async def _gone(self, known: ClaimRecord | Call) -> bool:
        try:
            claim = await self.cluster.get(self.claims, known.name, known.namespace)
            if claim.metadata.uid == known.uid:
                return False
        except NotFound:
            pass
        for pod in known.pods:
            try:
                there = await self.cluster.get(kinds.PODS, pod.name, known.namespace)
            except NotFound:
                continue
            if there.metadata.uid == pod.uid:
                return False
        return True

    async def _stray_label(self) -> None:
        """Left by a record that was lost. It is taken off when no claim of its domain is allocated on this node."""
        node = await (self.node.read() if self._swept else self.node.known())
        self._swept = True
        domain = node.metadata.labels.get(names.DOMAIN_LABEL)
        if not domain or self._used(domain):
            return
        claims = await self.cluster.list(self.claims, labels=f"{names.DOMAIN_LABEL}={domain}")
        if self._used(domain) or any(self._here(claim) for claim in claims.items):  # a claim may have come meanwhile
            return
        log.warning("node label %s=%s stands for no claim: taken off", names.DOMAIN_LABEL, domain)
        try:
            patch = leaving_patch(domain)
            self.store.put(kinds.NODES, await self.cluster.patch(kinds.NODES, self.node.name, patch, how="json"))
        except Conflict:
            return  # somebody else's by now

    def _used(self, domain: str) -> bool:
        """Whether a claim that we know of is of that domain."""
        known = {record.domain for record in self.store.all(RECORDS)} | {call.domain for call in self.store.all(CALLS)}
        # of which domain a worker is whose record was lost, only that knew
        return domain in known or any(channels_of(disk.spec) for disk in self._lost())

    def _here(self, claim: ResourceClaim) -> bool:
        allocation = claim.status.allocation
        results = allocation.devices.results if allocation else ()
        return any(r.driver == names.CD_DRIVER and r.pool == self.node.name for r in results)
