"""Claims whose record could not be read: what their containers use is left alone until nobody can use it any more."""

import asyncio

import pytest

from nvdra.api import kinds
from nvdra.api.local import CALLS, CLAIM_CDI_KIND, DISK_SPECS, FOLDERS, RECORDS, Call
from nvdra.api.records import ClaimRecord
from nvdra.node import CdiSpec, DeviceNode, Edits
from tests.apps.test_recovery import a_recovery
from tests.domains.channel_claim.bench import CHANNEL_0
from tests.unreliable import Unreliable
from tests.virtual_time import virtually

DOMAIN = "d0000000-0000-0000-0000-000000000001"


async def a_loss(folder, kind="daemon", uid="lost"):
    """A node that has a claim's CDI file, its domain's folder, and in place of its record something unreadable."""
    little, recovery = await a_recovery(folder)
    recovery.store.drop(RECORDS, recovery.store.get(RECORDS, "u"))
    edits = Edits((f"COMPUTE_DOMAIN_UUID={DOMAIN}",)) if kind == "daemon" else Edits((), (DeviceNode(*CHANNEL_0),))
    recovery.cdi.write(CdiSpec(CLAIM_CDI_KIND, {f"{uid}-{kind}-0": edits}), uid)
    recovery.files.write(folder / "domains" / DOMAIN / "domain.json", b"{}")
    recovery.files.write(folder / "claims" / f"{uid}.json", b"[")
    return little, recovery


async def a_claim(little, name="a"):
    body = {"metadata": {"name": name}, "spec": {"devices": {"requests": []}}}
    return (await little.hands.create(kinds.RESOURCE_CLAIMS, body, "default")).metadata.uid


async def a_pod(little, claim="a", node="node-1", phase="Running"):
    spec = {
        "nodeName": node,
        "containers": [{"name": "c", "image": "i"}],
        "resourceClaims": [{"name": "c", "resourceClaimName": claim}],
    }
    await little.hands.create(kinds.PODS, {"metadata": {"name": "worker"}, "spec": spec}, "default")
    await little.hands.patch(kinds.PODS, "worker", {"status": {"phase": phase}}, "default", subresource="status")


def is_left(recovery, uid="lost"):
    """Whether the life of the claim is to leave its file alone."""
    return recovery.store.get(DISK_SPECS, uid).record_lost


def test_file_and_folder_are_left_alone_at_this_start_and_at_the_next(tmp_path):
    """The record is set aside at the first of them; what it said is lost for good."""

    @virtually
    async def life():
        for _ in range(2):
            _, recovery = await a_recovery(tmp_path) if (tmp_path / "cdi").exists() else await a_loss(tmp_path)
            recovery.from_disk()
            assert is_left(recovery)
            assert recovery.store.get(FOLDERS, DOMAIN) is not None
            assert (tmp_path / "domains" / DOMAIN / "domain.json").exists()

    life()


def test_what_the_event_says(tmp_path):
    """Nothing is promised that is not done: a container that runs is not prepared anew by anybody."""

    @virtually
    async def life():
        _, recovery = await a_loss(tmp_path)
        recovery.from_disk()
        ((name, reason, text),) = recovery.announcer.notes
        assert (name, reason) == ("node-1", "ClaimRecordQuarantined")
        assert text.startswith("claim record set aside as lost.json.corrupt-1: not JSON")
        assert text.endswith(
            "; what its container uses stays until the claim is released, and the record is made anew when the kubelet"
            " prepares it again; look at the node's disk"
        )

    life()


def test_a_claim_that_was_recorded_anew_is_like_any_other(tmp_path):
    """Beside the file that was set aside there is a record again: the next start goes by that."""

    @virtually
    async def life():
        _, recovery = await a_loss(tmp_path)
        recovery.from_disk()
        recovery.records.put(ClaimRecord("lost", "default", "a", "daemon", DOMAIN))
        _, recovery = await a_recovery(tmp_path)
        recovery.from_disk()
        assert not is_left(recovery)
        assert recovery.store.get(FOLDERS, DOMAIN) is not None

    life()


@pytest.mark.parametrize("kind", ["channel", "daemon"])
def test_it_is_let_go_when_no_pod_here_has_held_it_for_a_while(tmp_path, kind):
    """The kubelet never said so, and its pod is gone; a pod of another node, or one that has ended, holds nothing here."""

    @virtually
    async def life():
        little, recovery = await a_loss(tmp_path, kind)
        recovery.from_disk()
        await a_claim(little)
        await a_pod(little, phase="Succeeded")
        running = asyncio.create_task(recovery.run())
        await asyncio.sleep(30)
        assert is_left(recovery)
        await asyncio.sleep(100)
        assert not is_left(recovery)
        running.cancel()

    life()


@pytest.mark.parametrize("claim", ["there", "gone"])
def test_it_stays_while_a_pod_here_holds_it(tmp_path, claim):
    """Or holds a claim that was deleted by force, and so may have been this one."""

    @virtually
    async def life():
        little, _ = await a_recovery(tmp_path)
        uid = await a_claim(little)
        _, recovery = await a_loss(tmp_path, uid=uid)
        recovery.cluster = little.client("plugin")
        recovery.from_disk()
        await a_pod(little, claim="a" if claim == "there" else "gone")
        running = asyncio.create_task(recovery.run())
        await asyncio.sleep(500)
        assert is_left(recovery, uid)
        running.cancel()

    life()


def test_an_api_server_that_is_away_releases_nothing(tmp_path):
    """Who cannot be asked has not said that nobody holds it."""

    @virtually
    async def life():
        _, recovery = await a_loss(tmp_path)
        recovery.from_disk()
        recovery.cluster = Unreliable(recovery.cluster, lambda verb, plural: "before" if plural == "pods" else "")
        running = asyncio.create_task(recovery.run())
        await asyncio.sleep(500)
        assert is_left(recovery)
        running.cancel()

    life()


def test_a_folder_that_nobody_uses_any_more_goes(tmp_path):
    """The last that used it had lost its record, and with its file its domain; a daemon's record keeps it."""

    @virtually
    async def life():
        _, recovery = await a_loss(tmp_path)
        recovery.from_disk()
        recovery.store.put(RECORDS, ClaimRecord("new", "default", "b", "daemon", DOMAIN))
        recovery.store.put(CALLS, Call("new", "default", "b", "daemon", calling=1))
        recovery.store.drop(DISK_SPECS, recovery.store.get(DISK_SPECS, "lost"))
        await recovery.sweep()
        assert (tmp_path / "domains" / DOMAIN).exists()
        recovery.store.drop(RECORDS, recovery.store.get(RECORDS, "new"))
        await recovery.sweep()
        assert not (tmp_path / "domains" / DOMAIN).exists()
        assert recovery.store.all(FOLDERS) == ()

    life()


@pytest.mark.parametrize("kind", ["channel", "daemon"])
def test_a_label_is_left_on_while_a_worker_without_a_record_may_run(tmp_path, kind):
    """Which domain is its, only the record knew: without the label its IMEX daemon ends. A daemon's loss is no reason.

    A daemon is there as long as the label is: if that waited for its end, neither would ever go.
    """

    @virtually
    async def life():
        little, recovery = await a_loss(tmp_path, kind)
        recovery.from_disk()
        await little.join("node-1", DOMAIN)
        await recovery.sweep()
        assert await little.labelled(DOMAIN) == (["node-1"] if kind == "channel" else [])
        recovery.store.drop(DISK_SPECS, recovery.store.get(DISK_SPECS, "lost"))
        await recovery.sweep()
        assert await little.labelled(DOMAIN) == []

    life()
