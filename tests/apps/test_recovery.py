"""What a plugin sweeps while it runs."""

import asyncio

from nvdra.adapters.cdi import CdiFolder
from nvdra.adapters.checkpoint import Records
from nvdra.adapters.files import DiskFiles
from nvdra.api import kinds, names
from nvdra.api.local import CALLS, RECORDS
from nvdra.api.records import ClaimRecord, PodRef
from nvdra.apps.recovery import Recovery
from nvdra.engine.store import Store
from tests.builders import Little
from tests.nodes import Said
from tests.virtual_time import virtually, wall


async def a_recovery(folder) -> tuple[Little, Recovery]:
    little = await Little.started()
    await little.node("node-1")
    store, files = Store(lambda _: None), DiskFiles()
    store.put(RECORDS, ClaimRecord("u", "default", "a", "channel", "d", pods=(PodRef("worker", "p"),)))
    cluster = little.client("plugin")
    records, cdi = Records(folder, "boot"), CdiFolder(folder / "cdi")
    claims = kinds.RESOURCE_CLAIMS
    recovery = Recovery(cluster, store, records, cdi, files, folder / "domains", "node-1", claims, Said(), wall)
    return little, recovery


def test_a_claim_that_is_gone_is_released_when_its_kubelet_had_time(tmp_path):
    """Claim and pod were deleted by force: the containers may run for half a minute more, and so long it is kept."""

    @virtually
    async def life():
        _, recovery = await a_recovery(tmp_path)
        running = asyncio.create_task(recovery.run())
        await asyncio.sleep(30)
        assert recovery.store.get(CALLS, "u") is None
        await asyncio.sleep(10)
        assert not recovery.store.get(CALLS, "u").wanted
        running.cancel()

    life()


def test_a_claim_that_is_back_is_kept(tmp_path):
    """Only an absence without a break counts: an answer that was wrong once releases nothing."""

    @virtually
    async def life():
        little, recovery = await a_recovery(tmp_path)
        recovery.sure = 100.0
        running = asyncio.create_task(recovery.run())
        await asyncio.sleep(50)
        body = {"metadata": {"name": "worker"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        pod = await little.hands.create(kinds.PODS, body, "default")
        record = recovery.store.get(RECORDS, "u")
        recovery.store.put(
            RECORDS, ClaimRecord(record.uid, "default", "a", "channel", "d", pods=(PodRef("worker", pod.metadata.uid),))
        )
        await asyncio.sleep(200)
        assert recovery.store.get(CALLS, "u") is None
        running.cancel()

    life()


def test_waiting_pods_are_woken_at_each_registration(tmp_path):
    """A kubelet that drops us and registers us again refuses pods in between: they are woken again, in the same second too."""

    @virtually
    async def life():
        little, recovery = await a_recovery(tmp_path)
        spec = {
            "containers": [{"name": "c", "image": "i"}],
            "nodeName": "node-1",
            "resourceClaims": [{"name": "channel", "resourceClaimName": "a"}],
        }
        await little.hands.create(kinds.PODS, {"metadata": {"name": "worker"}, "spec": spec}, "default")
        told, notes = asyncio.Event(), []
        running = asyncio.create_task(recovery.wake_pending(lambda: True, told))
        for _ in range(3):
            told.set()
            await asyncio.sleep(0.2)
            pod = await little.hands.get(kinds.PODS, "worker", "default")
            notes.append(pod.metadata.annotations[names.NOTE_ANNOTATION])
        running.cancel()
        assert len(set(notes)) == 3

    life()
