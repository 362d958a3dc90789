"""Nodes between domains: labels, one domain a node, Jobs that end, what is taken back."""

import asyncio
import uuid

from nvdra.api import names
from nvdra.engine import engine
from nvdra.sim.kube.kinds import JOBS, NODES, PODS
from tests.rack.kubelet import prepare, unprepare
from tests.rack.rig import DOMAINS, ROSTERS


async def test_a_finished_job_gives_its_node_back_and_the_next_domain_uses_it(raised):
    """Label and daemon go with the Job's pod, the domain stays, and another domain's worker then runs on the node."""
    rig = await raised(1)
    first = await rig.create_domain("first")
    await rig.create_job("short", "node-1", "ls /dev/nvidia-caps-imex-channels; sleep 0.5", domain="first")
    await rig.until("node-1 is the first domain's", lambda: _carries(rig, "node-1", first))

    async def complete():
        job = await rig.get(JOBS, "short")
        return any(c["type"] == "Complete" for c in job.get("status", {}).get("conditions") or ())

    await rig.until("the Job is complete", complete)
    await rig.until("label gone", lambda: _carries(rig, "node-1", ""))
    await rig.until("daemon gone", lambda: _no_daemons(rig))
    assert (await rig.domain("first"))["metadata"]["uid"] == first
    second = await rig.create_domain("second")
    await rig.create_worker("b", "node-1", domain="second")
    await rig.running("b")
    assert await rig.label("node-1") == second
    await rig.delete_all()
    await rig.clean()


async def test_a_node_is_labelled_for_the_next_domain_only_after_the_last_daemon_is_gone(raised):
    """While the first domain's daemon still runs there, the second domain's worker is held and says so."""
    rig = await raised(1)
    await rig.create_domain("first")
    second = await rig.create_domain("second")
    await rig.create_worker("a", "node-1", domain="first")
    await rig.running("a")
    node = rig.rack.nodes["node-1"]
    claim = rig.records()[0]
    node.partition(cut=True)  # its kubelet hears nothing: the daemon goes on, whatever is deleted
    await unprepare(rig, claim)
    await rig.rack.cluster.delete(PODS, "a", "default", grace=0)
    await rig.until("the label is taken off", lambda: _carries(rig, "node-1", ""))
    await rig.create_worker("b", "node-1", domain="second")
    waiting = await rig.until("b is bound", lambda: _bound(rig, "b"))
    said = await prepare(rig, waiting)
    assert "the IMEX daemon of ComputeDomain default/first is still on node-1: one IMEX session a node" in said.error
    assert await rig.label("node-1") == ""
    node.partition(cut=False)
    await rig.running("b")
    assert await rig.label("node-1") == second
    assert "channel0" in await rig.log("b")


async def test_the_second_domain_on_a_node_is_held_with_a_reason(raised):
    """Two ComputeDomains on one node: the second worker waits, is told why, and runs when the first has ended."""
    rig = await raised(1)
    await rig.create_domain("first")
    await rig.create_domain("second")
    await rig.create_worker("a", "node-1", domain="first")
    await rig.running("a")
    await rig.create_worker("b", "node-1", domain="second")
    await rig.said("b", "cannot allocate all claims", "FailedScheduling")
    await rig.delete(PODS, "a")
    await rig.running("b")
    await rig.delete_all()
    await rig.clean()


async def test_two_pods_of_a_node_share_one_claim(raised):
    """Both get the channel; it stays while one of them runs, and goes with the last."""
    rig = await raised(1)
    uid = await rig.create_domain()
    await rig.create_claim("shared", channel_config(uid))
    await rig.create_worker("a", "node-1", claim="shared")
    await rig.create_worker("b", "node-1", claim="shared")
    await rig.running("a", "b")
    assert "channel0" in await rig.log("a")
    assert "channel0" in await rig.log("b")
    assert len(rig.records()) == 1
    await rig.delete(PODS, "a")
    await rig.until("a is gone", lambda: _gone(rig, "a"))
    assert len(rig.records()) == 1
    assert await rig.label("node-1") == uid
    await rig.delete_all()
    await rig.clean()


async def test_who_shares_a_claim_is_woken_too(raised):
    """A call that is held when the domain is ready has its answer; a pod whose call had been refused before runs as soon."""
    rig = await raised(2)
    uid = await rig.create_domain(wanted=2)
    claim = await rig.create_claim("shared", channel_config(uid))
    for name in ("a", "c"):
        await rig.create_worker(name, "node-1", claim="shared")
        await rig.said(name, "waiting for", "FailedPrepareDynamicResources")

    async def calls():
        while (await prepare(rig, claim)).error:
            pass

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(calls())
            await asyncio.sleep(0.1 * number)
        await rig.create_worker("b", "node-2")
    await rig.running("a", "b", "c", limit=20)
    await rig.delete_all()
    await rig.clean()


async def test_a_label_taken_off_by_hand_is_put_back(raised):
    """While a worker holds its claim there, the node stays part of the domain."""
    rig = await raised(1)
    uid = await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    await rig.patch(NODES, "node-1", {"metadata": {"labels": {names.DOMAIN_LABEL: None, names.CLIQUE_LABEL: None}}}, "")
    await rig.until("the label is there again", lambda: _carries(rig, "node-1", uid))
    await rig.until("a daemon is there again", lambda: _ready_daemon(rig, "node-1"))
    assert await rig.runs("a")()


async def test_the_label_of_a_domain_that_never_was_is_taken_back(raised):
    """A node that carries the uid of no ComputeDomain is given back without anybody asking."""
    rig = await raised(1)
    ghost = str(uuid.uuid4())
    await rig.patch(NODES, "node-1", {"metadata": {"labels": {names.DOMAIN_LABEL: ghost, names.CLIQUE_LABEL: "x"}}}, "")
    await rig.until("the label is gone", lambda: _carries(rig, "node-1", ""))
    await rig.clean()


async def test_everything_of_a_domain_whose_finalizer_was_torn_off_is_taken_down(raised):
    """The ComputeDomain vanishes by force under a worker: children, rosters and labels go, by their label alone."""
    rig = await raised(1)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    await rig.delete(DOMAINS, "cd")
    domain = await rig.get(DOMAINS, "cd")
    if domain is not None:
        await rig.patch(DOMAINS, "cd", {"metadata": {"finalizers": None}})
    await rig.until("the label is gone", lambda: _carries(rig, "node-1", ""))
    await rig.until("the rosters are gone", lambda: _none(rig, ROSTERS))
    await rig.delete_all()
    await rig.clean()


async def test_a_node_with_another_domains_label_holds_the_worker_and_lets_it_go_later(raised, monkeypatch):
    """The worker's Event names the label's domain; when that has left the node, the worker runs."""
    monkeypatch.setattr(engine, "REFUSED_AGAIN", 1.0)
    rig = await raised(2)
    other = await rig.create_domain("other")
    await rig.patch(NODES, "node-1", {"metadata": {"labels": {names.DOMAIN_LABEL: other}}}, "")
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.said("a", f"node node-1 belongs to the ComputeDomain with uid {other}")
    await rig.patch(NODES, "node-1", {"metadata": {"labels": {names.DOMAIN_LABEL: None}}}, "")
    await rig.running("a", limit=20)


def channel_config(uid, **more):
    """Parameters of a worker's claim."""
    return {"apiVersion": "resource.nvidia.com/v1beta1", "kind": "ComputeDomainChannelConfig", "domainID": uid, **more}


async def _carries(rig, node, uid):
    return await rig.label(node) == uid


async def _no_daemons(rig):
    return not await rig.all(PODS, names.DRIVER_NAMESPACE, names.DOMAIN_LABEL)


async def _gone(rig, pod):
    return await rig.get(PODS, pod) is None


async def _none(rig, kind):
    return not await rig.all(kind)


async def _ready_daemon(rig, node):
    return any(
        c["type"] == "Ready" and c["status"] == "True"
        for pod in await rig.daemons(node)
        for c in pod.get("status", {}).get("conditions") or ()
    )


async def _bound(rig, pod):
    """The claim of a pod, once that is bound to a node."""
    found = await rig.get(PODS, pod)
    if not found["spec"].get("nodeName"):
        return None
    return await rig.claim_of(pod)
