"""The kubelet's calls, straight over gRPC: repeated, overlapping, late, without an API server."""

import asyncio

import pytest

from nvdra.adapters.kubelet import wire
from nvdra.sim.kube.kinds import CLAIMS, PODS
from tests.rack.kubelet import UNPREPARE, call, devices, prepare, unprepare

CHANNEL = "k8s.compute-domain.nvidia.com/claim"


@pytest.fixture
async def rig(raised):
    """One node, one domain, worker `a` that runs."""
    rig = await raised(1)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    return rig


async def test_prepare_repeated_in_both_protocols_gives_the_same_answer(rig):
    """Again and again, v1 and v1beta1, with and without an API server: the same devices and CDI ids, nothing written."""
    claim, files = await rig.claim_of("a"), rig.cdi()
    first = devices(await prepare(rig, claim))
    assert [d[:3] for d in first] == [("node-1", "channel-0", ("channel",))]
    assert [i.partition("=")[0] for i in first[0][3]] == [CHANNEL]
    rig.silent("nvdra-kubelet-plugin")
    for service in (wire.DRA_V1, wire.DRA_V1BETA1):
        assert devices(await prepare(rig, claim, service=service)) == first
    assert rig.cdi() == files


async def test_unprepare_works_while_the_api_server_is_silent(rig):
    """File and device node go at once; the label, which needs the server, goes when it answers again."""
    claim = await rig.claim_of("a")
    rig.silent("nvdra-kubelet-plugin")
    assert (await unprepare(rig, claim)).error == ""
    assert not [name for name in rig.cdi() if claim["metadata"]["uid"] in name]
    assert rig.channels() == set()
    assert [record["leaving"] for record in rig.records()] == [True]
    assert await rig.label("node-1") != ""
    assert (await unprepare(rig, claim)).error == "", "once more is no error"
    rig.mend()
    await rig.until("no record is left", lambda: not rig.records())
    assert await rig.label("node-1") == ""


async def test_unprepare_does_not_wait_for_an_api_server_that_takes_its_time(rig):
    """A request that hangs for a minute holds up the node's label only: the kubelet has its answer at once."""
    claim = await rig.claim_of("a")
    rig.order("silence", agent="nvdra-kubelet-plugin", seconds=60)
    socket = rig.plugin_folder() / "dra.sock"
    assert (await call(socket, UNPREPARE, claim, limit=5)).error == ""
    assert not _files(rig, claim)


async def test_unprepare_of_an_unknown_claim_is_success(rig):
    """What is not there needs no release."""
    ghost = {"uid": "00000000-1111-2222-3333-444444444444", "name": "ghost", "namespace": "default"}
    assert (await unprepare(rig, ghost)).error == ""


async def test_a_claim_prepared_again_after_its_release_waits_for_its_domain_again(rig):
    """Released, then wanted once more while claim and pod still live: right end, one record, one file."""
    claim = await rig.claim_of("a")
    files = rig.cdi()
    assert (await unprepare(rig, claim)).error == ""

    async def answered():
        return not (await prepare(rig, claim)).error

    await rig.until("prepared again", answered)
    assert rig.cdi().keys() >= {name for name in files if claim["metadata"]["uid"] in name}
    assert len(rig.records()) == 1
    await rig.until("the label is there", lambda: rig.label("node-1"))
    await rig.delete_all()
    await rig.clean()


async def test_a_late_prepare_after_everything_is_gone_brings_nothing_back(rig):
    """The claim and its pod were deleted meanwhile: an error that says so, and no label, record or file (#1162)."""
    claim = await rig.claim_of("a")
    await rig.delete(PODS, "a")
    await rig.until("the claim is gone", lambda: _gone(rig, claim))
    said = await prepare(rig, claim)
    assert f"ResourceClaim default/{claim['metadata']['name']} is gone" in said.error
    await rig.delete_all()
    await rig.clean()


async def test_a_claim_of_the_same_name_with_another_uid_is_refused(rig):
    """The kubelet's old view of a claim that was deleted and made again."""
    claim = await rig.claim_of("a")
    old = {**claim["metadata"], "uid": "00000000-1111-2222-3333-444444444444"}
    said = await prepare(rig, old)
    assert said.error
    assert len(rig.records()) == 1


async def test_overlapping_calls_end_as_the_last_one_says(rig):
    """Forty calls on top of each other in any order; a last Prepare or Unprepare decides, and nothing is left behind."""
    claim = await rig.claim_of("a")
    for last, number in ((prepare, 1), (unprepare, 0)):
        calls = [(prepare, unprepare)[(turn * 7 // 3) % 2](rig, claim) for turn in range(20)]
        await asyncio.gather(*calls)

        async def decided(last=last):
            return not (await last(rig, claim)).error

        await rig.until("answered", decided)
        await rig.until("as said", lambda number=number: len(_files(rig, claim)) == len(rig.records()) == number)
    await rig.delete_all()
    await rig.clean()


async def test_one_claim_that_waits_does_not_hold_up_another(raised):
    """Two claims in one call: each gets its own answer, the bad one an error that names it."""
    rig = await raised(1)
    uid = await rig.create_domain()
    good = {"apiVersion": "resource.nvidia.com/v1beta1", "kind": "ComputeDomainChannelConfig", "domainID": uid}
    await rig.create_claim("good", good)
    await rig.create_worker("a", "node-1", claim="good")
    await rig.running("a")
    claim = await rig.get(CLAIMS, "good")
    ghost = {"uid": "00000000-1111-2222-3333-444444444444", "name": "ghost", "namespace": "default"}
    assert "ResourceClaim default/ghost is gone" in (await prepare(rig, claim, ghost)).error
    assert devices(await prepare(rig, ghost, claim))


async def test_a_taken_channel_is_refused_and_names_its_holder(rig):
    """A second claim that was given the same channel (a scheduler's mistake): held, named, and prepared later."""
    uid = (await rig.domain())["metadata"]["uid"]
    config = {"apiVersion": "resource.nvidia.com/v1beta1", "kind": "ComputeDomainChannelConfig", "domainID": uid}
    await rig.create_claim("second", config)
    first = await rig.claim_of("a")
    allocation = {**first["status"]["allocation"]}
    allocation["devices"] = {
        "results": [{**allocation["devices"]["results"][0], "request": "r"}],
        "config": [{**allocation["devices"]["config"][0], "requests": ["r"]}],
    }
    await rig.rack.cluster.patch(
        CLAIMS, "second", {"status": {"allocation": allocation}}, "default", subresource="status"
    )
    second = await rig.get(CLAIMS, "second")
    said = await prepare(rig, second)
    assert f"channel 0 of node-1 is held by claim default/{first['metadata']['name']} (ComputeDomain" in said.error
    assert "one channel claim a node; pods may share one claim" in said.error
    assert len(rig.records()) == 1
    assert devices(await prepare(rig, first)), "nothing was taken from the first"
    await unprepare(rig, first)

    async def prepared():
        return not (await prepare(rig, second)).error

    await rig.until("the second has it", prepared)
    assert len(rig.records()) == 1


async def _gone(rig, claim):
    return await rig.get(CLAIMS, claim["metadata"]["name"]) is None


def _files(rig, claim):
    return [name for name in rig.cdi() if claim["metadata"]["uid"] in name]
