"""What a plugin finds when it starts, and what it sweeps while it runs: records, CDI files, folders, labels, claims."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import attrs
from attrs import define, field

from nvdra.adapters.cdi import CdiFolder
from nvdra.adapters.checkpoint import Records
from nvdra.adapters.looptime import loop_time
from nvdra.api import kinds, names
from nvdra.api.kind import Kind
from nvdra.api.local import CALLS, CLAIM_CDI_KIND, DISK_SPECS, FOLDERS, RECORDS, Call, DiskSpec, DomainFolder
from nvdra.api.membership import leaving_patch
from nvdra.api.records import ClaimRecord
from nvdra.api.resources import ResourceClaim
from nvdra.api.timestamps import micro_time
from nvdra.engine.store import Store
from nvdra.errors import Conflict, NotFound, NvdraError
from nvdra.ports import Announcer, Cluster, Folders, Subject, WallClock

log = logging.getLogger(__name__)


@define(eq=False)
class Recovery:
    """One node's leftovers. Nothing here decides: it puts what it finds into the store, where lives go on."""

    cluster: Cluster
    store: Store
    records: Records
    cdi: CdiFolder
    files: Folders
    domains: Path
    node_name: str
    claims: Kind[ResourceClaim]
    announcer: Announcer
    wall: WallClock
    every: float = 60.0
    sure: float = 35.0
    """Seconds that claim and pods must be gone: a pod deleted by force still runs while its kubelet ends it."""
    _missed: dict[str, float] = field(factory=dict, init=False)
    quarantined: dict[str, str] = field(factory=dict, init=False)
    """By the claim's uid, what became of a record that could not be read."""

    def from_disk(self) -> None:
        """Records, CDI files and folders, before anybody calls."""
        records, quarantined = self.records.load_all()
        for bad in quarantined:
            text = (
                f"claim record set aside as {bad.path.name}: {bad.because};"
                " the claim is prepared anew by itself; look at the node's disk"
            )
            self.quarantined[bad.path.name.partition(".")[0]] = text
            about = Subject("v1", "Node", self.node_name, uid=self.node_name)
            self.announcer.tell(about, "ClaimRecordQuarantined", text, warning=True)
        for record in records:
            self.store.put(RECORDS, self._after_reboot(record) if record.stale_boot else record)
        for uid in sorted(self.cdi.claims()):
            self._cdi_file(uid)
        used = {record.domain for record in records if record.kind == "daemon"}
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

    def _cdi_file(self, uid: str) -> None:
        spec = self.cdi.read(CLAIM_CDI_KIND, uid)
        if spec is None:
            self.cdi.remove(CLAIM_CDI_KIND, uid)
            return
        self.store.put(DISK_SPECS, DiskSpec(uid, spec))

    async def run(self) -> None:
        """Sweep until cancelled; the API server may be away for any time."""
        while True:
            try:
                await self.sweep()
            except NvdraError as error:
                log.info("sweep put off: %s", error)
            await asyncio.sleep(min(self.every, self.sure) if self._missed else self.every)

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
        """One list; a touch of a pod that needs none makes the kubelet look at it, and nothing else."""
        note = {"metadata": {"annotations": {names.NOTE_ANNOTATION: f"{names.WOKEN}{micro_time(self.wall())}"}}}
        try:
            pods = await self.cluster.list(kinds.PODS, fields=f"spec.nodeName={self.node_name},status.phase=Pending")
            for pod in pods.items:
                if pod.spec.resourceClaims and not pod.metadata.deleting:
                    await self.cluster.patch(kinds.PODS, pod.metadata.name, note, pod.metadata.namespace)
        except NvdraError as error:
            log.info("waiting pods were not woken, the kubelet tries again by itself: %s", error)

    async def sweep(self) -> None:
        """A label without a record, and records whose claim and pods are gone."""
        await self._stray_label()
        for record in self.store.all(RECORDS):
            call = self.store.get(CALLS, record.uid)
            if record.leaving or (call and call.calling) or not await self._gone(record):
                self._missed.pop(record.uid, None)
            elif loop_time() - self._missed.setdefault(record.uid, loop_time()) >= self.sure:
                del self._missed[record.uid]
                log.info("%s is gone and so are its pods: released", record, extra={"key": record.uid})
                done = Call(record.uid, record.namespace, record.name, record.kind, wanted=False)
                self.store.put(CALLS, done)

    async def _gone(self, record: ClaimRecord) -> bool:
        try:
            claim = await self.cluster.get(self.claims, record.name, record.namespace)
            if claim.metadata.uid == record.uid:
                return False
        except NotFound:
            pass
        for pod in record.pods:
            try:
                there = await self.cluster.get(kinds.PODS, pod.name, record.namespace)
            except NotFound:
                continue
            if there.metadata.uid == pod.uid:
                return False
        return True

    async def _stray_label(self) -> None:
        """Left by a record that was lost. It is taken off when no claim of its domain is allocated on this node."""
        node = await self.cluster.get(kinds.NODES, self.node_name)
        self.store.put(kinds.NODES, node)
        domain = node.metadata.labels.get(names.DOMAIN_LABEL)
        if not domain or any(r.domain == domain for r in self.store.all(RECORDS)):
            return
        if any(call.domain == domain for call in self.store.all(CALLS)):
            return
        claims = await self.cluster.list(self.claims, labels=f"{names.DOMAIN_LABEL}={domain}")
        if any(self._here(claim) for claim in claims.items):
            return
        log.warning("node label %s=%s stands for no claim: taken off", names.DOMAIN_LABEL, domain)
        try:
            patch = leaving_patch(domain)
            self.store.put(kinds.NODES, await self.cluster.patch(kinds.NODES, self.node_name, patch, how="json"))
        except Conflict:
            return  # somebody else's by now

    def _here(self, claim: ResourceClaim) -> bool:
        allocation = claim.status.allocation
        results = allocation.devices.results if allocation else ()
        return any(r.driver == names.CD_DRIVER and r.pool == self.node_name for r in results)
