"""What a plugin sweeps while it runs."""

import asyncio
import itertools
import os

import attrs
import pytest

from nvdra.adapters.cdi import CdiFolder
from nvdra.adapters.checkpoint import Records
from nvdra.adapters.files import DiskFiles
from nvdra.adapters.kube.events import EventAnnouncer
from nvdra.api import kinds, names
from nvdra.api.local import CALLS, CLAIM_CDI_KIND, DISK_SPECS, RECORDS, Call, DiskSpec
from nvdra.api.records import ClaimRecord, PodRef
from nvdra.apps.own_node import OwnNode
from nvdra.apps.recovery import Recovery
from nvdra.engine.store import Store
from nvdra.errors import NotFound
from nvdra.node import CdiSpec
from tests.builders import Little
from tests.nodes import Said
from tests.unreliable import Unreliable
from tests.virtual_time import virtually, wall


async def a_recovery(folder) -> tuple[Little, Recovery]:
    little = await Little.started()
    await little.node("node-1")
    store, files = Store(lambda _: None), DiskFiles()
    store.put(RECORDS, ClaimRecord("u", "default", "a", "channel", "d", pods=(PodRef("worker", "p"),)))
    cluster = little.client("plugin")
    records, cdi = Records(folder, "boot"), CdiFolder(folder / "cdi")
    claims = kinds.RESOURCE_CLAIMS
    recovery = Recovery(
        cluster, store, records, cdi, files, folder / "domains", OwnNode(cluster, store, "node-1"), claims, Said(), wall
    )
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


async def a_refusal(folder, **more) -> tuple[Little, Recovery]:
    """A claim that was asked for and never recorded; its kubelet has not said any more."""
    little, recovery = await a_recovery(folder)
    recovery.store.drop(RECORDS, recovery.store.get(RECORDS, "u"))
    recovery.store.put(CALLS, Call("r", "default", "refused", domain="d", pods=(PodRef("worker", "p"),), **more))
    return little, recovery


def test_a_refused_claim_that_is_gone_is_forgotten(tmp_path):
    """Its kubelet may never release it, having lost its checkpoint; as with records, only after a while."""

    @virtually
    async def life():
        _, recovery = await a_refusal(tmp_path)
        running = asyncio.create_task(recovery.run())
        await asyncio.sleep(30)
        assert recovery.store.get(CALLS, "r") is not None
        await asyncio.sleep(10)
        assert recovery.store.all(CALLS) == ()
        assert recovery._missed == {}
        running.cancel()

    life()


@pytest.mark.parametrize("still", ["calling", "its claim is there", "its pod is there"])
def test_a_refused_claim_that_may_be_wanted_is_kept(tmp_path, still):
    """While a call waits, the claim exists, or its pod does, the kubelet may come and ask why."""

    @virtually
    async def life():
        little, recovery = await a_refusal(tmp_path, calling=int(still == "calling"))
        call = recovery.store.get(CALLS, "r")
        if still == "its claim is there":
            body = {"metadata": {"name": "refused"}, "spec": {"devices": {"requests": []}}}
            claim = await little.hands.create(kinds.RESOURCE_CLAIMS, body, "default")
            recovery.store.drop(CALLS, call)
            recovery.store.put(CALLS, call := attrs.evolve(call, uid=claim.metadata.uid))
        if still == "its pod is there":
            body = {"metadata": {"name": "worker"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
            pod = await little.hands.create(kinds.PODS, body, "default")
            recovery.store.put(CALLS, call := attrs.evolve(call, pods=(PodRef("worker", pod.metadata.uid),)))
        running = asyncio.create_task(recovery.run())
        await asyncio.sleep(500)
        assert recovery.store.all(CALLS) == (call,)
        running.cancel()

    life()


def test_a_call_that_comes_while_the_sweep_looks_is_kept(tmp_path):
    """The API server's answer is of before: the kubelet asks again just now, and its call is not forgotten."""

    @virtually
    async def life():
        _, recovery = await a_refusal(tmp_path)
        recovery.sure = 0.0

        class Slow(Unreliable):
            async def get(self, kind, name, *args, **named):
                if name == "worker":
                    recovery.store.put(CALLS, attrs.evolve(recovery.store.get(CALLS, "r"), calling=1))
                return await super().get(kind, name, *args, **named)

        recovery.cluster = Slow(recovery.cluster)
        await recovery.sweep()
        assert recovery.store.get(CALLS, "r").calling == 1

    life()


def test_a_claim_without_a_record_that_was_asked_for_is_let_go_in_two_steps(tmp_path):
    """Its record was lost, its next call refused, and then it was gone: first the call is forgotten, then its file goes."""

    @virtually
    async def life():
        _, recovery = await a_refusal(tmp_path)
        recovery.store.put(DISK_SPECS, DiskSpec("r", CdiSpec(CLAIM_CDI_KIND), record_lost=True))
        running = asyncio.create_task(recovery.run())
        await asyncio.sleep(200)
        assert recovery.store.all(CALLS) == ()
        assert not recovery.store.get(DISK_SPECS, "r").record_lost
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


def test_a_claim_that_went_its_usual_way_is_missed_no_more(tmp_path):
    """Released by its kubelet after the sweep had missed it: nothing of it is remembered, and sweeps are seldom again."""

    @virtually
    async def life():
        _, recovery = await a_recovery(tmp_path)
        await recovery.sweep()
        assert recovery._missed.keys() == {"u"}
        recovery.store.drop(RECORDS, recovery.store.get(RECORDS, "u"))
        await recovery.sweep()
        assert not recovery._missed

    life()


def test_a_claim_that_comes_while_the_sweep_looks_keeps_its_label(tmp_path):
    """A label that stood for no claim stands for one by the time that the API server has answered: it is left alone."""

    @virtually
    async def life():
        little, recovery = await a_recovery(tmp_path)
        recovery.store.drop(RECORDS, recovery.store.get(RECORDS, "u"))
        await little.join("node-1", "d")

        class Slow(Unreliable):
            async def list(self, kind, *args, **named):
                found = await super().list(kind, *args, **named)
                recovery.store.put(CALLS, Call("new", "default", "b", domain="d"))
                return found

        recovery.cluster = Slow(recovery.cluster)
        await recovery.sweep()
        assert await little.labelled("d") == ["node-1"]

    life()


def test_any_name_of_a_file_can_be_told(tmp_path):
    """A record's file with a name that is no text is set aside and told; its Event can be sent."""

    @virtually
    async def life():
        little, recovery = await a_recovery(tmp_path)
        (tmp_path / "claims").mkdir()
        (tmp_path / "claims" / os.fsdecode(b"\xff.json")).write_text("{}")
        announcer = EventAnnouncer(little.client("plugin"), "plugin", wall=wall)
        recovery.announcer = announcer
        telling = asyncio.create_task(announcer.run())
        recovery.from_disk()
        await announcer.flush(5)
        assert not telling.done()
        assert [event["reason"] for event in await little.events()] == ["ClaimRecordQuarantined"]
        telling.cancel()

    life()


def test_a_pod_that_ends_meanwhile_keeps_no_other_asleep(tmp_path):
    """Waiting pods are woken one after the other: one that is gone by its turn does not leave the next ones waiting."""

    @virtually
    async def life():
        little, recovery = await a_recovery(tmp_path)
        spec = {
            "nodeName": "node-1",
            "containers": [{"name": "c", "image": "i"}],
            "resourceClaims": [{"name": "c", "resourceClaimName": "x"}],
        }
        for name in ("one", "two"):
            await little.hands.create(kinds.PODS, {"metadata": {"name": name}, "spec": spec}, "default")

        class Late(Unreliable):
            async def patch(self, kind, name, *args, **named):
                if name == "one":
                    raise NotFound("pods one not found", code=404)
                return await super().patch(kind, name, *args, **named)

        recovery.cluster = Late(recovery.cluster)
        told = asyncio.Event()
        told.set()
        running = asyncio.create_task(recovery.wake_pending(lambda: True, told))
        await asyncio.sleep(1)
        running.cancel()
        two = await little.hands.get(kinds.PODS, "two", "default")
        assert two.metadata.annotations[names.NOTE_ANNOTATION].startswith(names.WOKEN)

    life()


def test_nodes_that_started_together_do_not_ask_together(tmp_path):
    """5,000 plugins of one release start in the same minute: each sweeps in its own rhythm, once a minute or so."""

    @virtually
    async def life():
        _, recovery = await a_recovery(tmp_path)
        recovery.store.drop(RECORDS, recovery.store.get(RECORDS, "u"))
        seen = []

        class Watched(Unreliable):
            async def get(self, kind, *args, **named):
                seen.append(asyncio.get_running_loop().time())
                return await super().get(kind, *args, **named)

        recovery.node = OwnNode(Watched(recovery.cluster), recovery.store, "node-1")
        running = asyncio.create_task(recovery.run())
        await asyncio.sleep(3600)
        running.cancel()
        pauses = [after - before for before, after in itertools.pairwise(seen)]
        assert 45 <= min(pauses) <= max(pauses) <= 75.1
        assert max(pauses) - min(pauses) > 15

    life()
