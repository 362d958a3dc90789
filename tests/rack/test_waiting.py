"""Waiting without waiting: calls are answered soon with a reason, and the worker is woken when the wait is over."""

from nvdra.api import names
from nvdra.sim.kube.kinds import PODS


async def test_a_worker_is_woken_long_before_the_kubelet_would_try_again(raised):
    """The first call is answered with the reason; when the wait is over the pod is touched, and it runs."""
    rig = await raised(1)
    rig.imex("node-1", ready_after=3)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    said = await rig.said("a", "node-1", "FailedPrepareDynamicResources")
    assert "NodePrepareResources failed for ResourceClaim a-channel" in said["message"]
    assert not (await _note(rig, "a")).startswith("released")
    await rig.running("a", limit=20)  # the kubelet's retry comes after 60 to 90 s
    assert (await _note(rig, "a")).startswith("released ")
    failed = await rig.events("a", "FailedPrepareDynamicResources")
    assert 1 <= len(failed) <= 2  # on a machine that is busy the reason may be asked for once more


async def test_a_new_reason_is_told_at_once(raised):
    """When what is waited for changes, the pod gets an Event of ours, long before the kubelet asks again."""
    rig = await raised(2)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.said("a", "waiting for", "FailedPrepareDynamicResources")
    rig.imex("node-2", exit_at_start="Failed to bind 127.0.0.1:50000: Address already in use")
    await rig.create_worker("b", "node-2")
    await rig.said("a", "node-2 has an IMEX daemon that is not ready", "WaitingForComputeDomain", limit=15)
    await rig.said("a", "port 50000 in use", "WaitingForComputeDomain", limit=15)
    rig.imex("node-2")
    await rig.running("a", "b")


async def test_where_pods_may_not_be_touched_calls_are_held_instead(raised):
    """403 to a touch is said once; from then on a call waits for the domain itself and is not answered in vain."""
    rig = await raised(2, kubelet={"prepare_retry": (4, 4)})
    rig.order("forbidden", verb="patch", resource="pods", agent="nvdra-kubelet-plugin")
    rig.imex("node-1", ready_after=2)
    await rig.create_domain("first")
    await rig.create_worker("a", "node-1", domain="first")
    await rig.said("a", "may not touch pods", "MayNotTouchPods")
    await rig.running("a")
    await rig.delete_all()
    await rig.clean()
    await rig.create_domain("second", wanted=2)
    await rig.create_worker("b", "node-1", domain="second")
    await rig.until("b's call waits", lambda: rig.records("node-1"))
    await rig.until("b's node is ready", lambda: _ready(rig))
    await rig.create_worker("c", "node-2", domain="second")
    await rig.running("b", "c")
    assert await rig.events("b", "FailedPrepareDynamicResources") == []
    assert await rig.events("b", "MayNotTouchPods") == []


async def test_a_release_is_remembered_while_the_kubelet_is_away(raised):
    """The wait ends while no kubelet listens: the worker runs when the kubelet is back."""
    rig = await raised(2)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.until("node-1's daemon is ready", lambda: _ready(rig))
    await rig.rack.nodes["node-1"].kubelet.stop()
    await rig.create_worker("b", "node-2")
    await rig.running("b")
    await rig.until("a is released", lambda: rig.records("node-1")[0]["released"])
    assert await rig.phase("a") == "Pending"
    await rig.rack.nodes["node-1"].kubelet.start()
    await rig.running("a")


async def _note(rig, pod):
    return (await rig.get(PODS, pod))["metadata"].get("annotations", {}).get(names.NOTE_ANNOTATION, "")


async def _ready(rig):
    daemons = await rig.daemons("node-1")
    conditions = daemons[0].get("status", {}).get("conditions") or () if daemons else ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
