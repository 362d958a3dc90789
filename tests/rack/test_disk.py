"""The node's disk: corrupt records, files that others remove, restarts at every point."""

import json
import signal

from nvdra.sim.kube.kinds import PODS
from tests.rack.kubelet import devices, prepare


async def test_a_corrupt_record_is_set_aside_and_the_plugin_goes_on(raised):
    """Quarantined with an Event on the node; the other claims are served as before."""
    rig = await raised(1)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    claim = await rig.claim_of("a")
    folder, ghost = rig.plugin_folder() / "claims", "00000000-1111-2222-3333-444444444444"
    await rig.restart_plugin(meanwhile=lambda: (folder / f"{ghost}.json").write_text('{"uid": "0000'))
    said = await rig.said(
        "node-1", f"claim record set aside as {ghost}.json.corrupt-1: not JSON", "ClaimRecordQuarantined"
    )
    assert said["type"] == "Warning"
    assert (folder / f"{ghost}.json.corrupt-1").read_text() == '{"uid": "0000'

    assert devices(await prepare(rig, claim))
    assert await rig.runs("a")()


async def test_a_claim_whose_own_record_is_corrupt_can_be_released(raised):
    """Its record is lost, its worker runs on; when the worker goes, the claim's file, label and daemon go too.

    What is left is the quarantined record, and the device node: only the record knew whose it is.
    """
    rig = await raised(1)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    uid = (await rig.claim_of("a"))["metadata"]["uid"]
    record = rig.plugin_folder() / "claims" / f"{uid}.json"
    await rig.restart_plugin(meanwhile=lambda: record.write_text("[]"))
    await rig.said("node-1", "a JSON object is expected", "ClaimRecordQuarantined")
    assert await rig.runs("a")()
    await rig.delete_all()
    quarantine = f"node-1/var/lib/kubelet/plugins/compute-domain.nvidia.com/claims/{uid}.json.corrupt-1"

    async def only_that():
        return [left for left in await rig.leftovers() if not left.endswith("/channel0")] == [quarantine]

    try:
        await rig.until("only the quarantine is left", only_that)
    except AssertionError as error:
        raise AssertionError(f"{error}\nleft: {await rig.leftovers()}") from error


async def test_containers_whose_claims_lost_their_records_can_be_started_again(raised):
    """A kubelet does not prepare for that: worker and IMEX daemon find what they had, and what is left goes with them."""
    rig = await raised(1)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    files, folder = rig.cdi(), rig.plugin_folder() / "claims"
    records = sorted(path.name for path in folder.glob("*.json"))
    await rig.restart_plugin(meanwhile=lambda: [(folder / name).write_text("{") for name in records])
    for name in records:
        await rig.said("node-1", f"{name}.corrupt-1", "ClaimRecordQuarantined")
    for find in (lambda: rig.daemon("node-1"), lambda: rig.container("node-1", "a", "worker")):
        old = find()
        old.signal(signal.SIGKILL)
        await old.over.wait()
        await rig.until(
            "it is started again", lambda old=old, find=find: find() is not old and not find().over.is_set()
        )
    await rig.running("a")
    assert "channel0" in await rig.log("a")
    await rig.until("the daemon is ready", lambda: _status(rig).get("ready") is True)
    assert (len(records), rig.cdi(), rig.records()) == (2, files, [])
    await rig.delete_all()
    await rig.until("the files are gone", lambda: not rig.cdi())
    await rig.restart_plugin()  # sooner than its sweep, which looks after the daemon's folder once a minute
    await rig.until(
        "only what was set aside is left", lambda: _strays(rig) == [f"{name}.corrupt-1" for name in records]
    )


def _status(rig):
    (path,) = (rig.plugin_folder() / "domains").glob("*/status.json")
    return json.loads(path.read_text())


def _strays(rig):
    """But for the device node: only the record knew whose it is."""
    return [left.rpartition("/")[2] for left in rig.left() if not left.endswith("/channel0")]


async def test_a_cdi_file_removed_by_hand_is_made_again(raised):
    """Within seconds, with the same content, for workers and daemons, while all runs; so is a device node."""
    rig = await raised(1)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    files = rig.cdi()
    assert len(files) == 2
    for name in files:
        (rig.root() / "var/run/cdi" / name).unlink()
    await rig.until("both are there again", lambda: rig.cdi() == files, 10)
    assert devices(await prepare(rig, await rig.claim_of("a")))
    await rig.delete_all()
    await rig.clean()


async def test_a_cdi_file_of_nobody_is_removed_at_the_start(raised):
    """A file that a crashed or older plugin left for a claim that nobody knows."""
    rig = await raised(1)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    uid = (await rig.claim_of("a"))["metadata"]["uid"]
    name, content = next((n, c) for n, c in rig.cdi().items() if uid in n)
    ghost = "00000000-1111-2222-3333-444444444444"
    stray = rig.root() / "var/run/cdi" / name.replace(uid, ghost)
    text = (rig.root() / "var/run/cdi" / name).read_text().replace(uid, ghost)
    assert content
    await rig.restart_plugin(meanwhile=lambda: stray.write_text(text))
    await rig.until("the stray file is gone", lambda: not stray.exists())
    assert uid in "".join(rig.cdi())


async def test_restarts_of_the_plugin_in_the_middle_of_everything_lose_nothing(raised):
    """Ended and started again while a worker waits, runs and leaves: released in the end, gone in the end."""
    rig = await raised(2, kubelet={"prepare_retry": (2, 3)})  # pods that found no plugin are nobody's to wake
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.until("a waits", rig.records)
    await rig.restart_plugin()
    await rig.create_worker("b", "node-2")
    await rig.running("a", "b")
    await rig.restart_plugin()
    assert await rig.runs("a", "b")()
    rig.silent("nvdra-kubelet-plugin")
    await rig.delete(PODS, "a", "b")
    await rig.until("a is leaving", lambda: [r for r in rig.records() if r["leaving"]])
    await rig.restart_plugin()
    rig.mend()
    await rig.delete_all()
    await rig.clean()


async def test_a_disk_that_cannot_be_read_is_waited_for(raised):
    """The plugin neither ends nor serves: node and waiting pods are told path and way out; mended, all is served."""
    rig = await raised(1)
    await rig.create_domain()
    claims = rig.plugin_folder() / "claims"
    old = rig.plugin("node-1")
    old.signal(signal.SIGKILL)
    await old.over.wait()
    claims.symlink_to(claims)  # what even root cannot look into
    said = await rig.said("node-1", f"cannot look into {claims}", "NodeDiskUnusable")
    assert "dmesg" in said["message"]
    assert said["type"] == "Warning"
    here = rig.plugin("node-1")
    await rig.create_worker("a", "node-1")
    await rig.said("a", f"cannot look into {claims}", "NodeDiskUnusable")
    assert rig.plugin("node-1") is here
    claims.unlink()
    await rig.running("a")
