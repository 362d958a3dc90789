"""The end of a ComputeDomain, with and without workloads on it."""

from nvdra.api import names
from nvdra.apps.farewells import GRACE
from nvdra.sim.kube.kinds import EVENTS, PODS
from tests.rack.rig import DOMAINS


async def test_deleted_under_running_workloads_it_goes_and_names_them(raised):
    """Objects, labels and daemons go at once with a Warning; the workers' containers are not touched by that."""
    rig = await raised(2)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.create_worker("b", "node-2")
    await rig.running("a", "b")
    await rig.delete(DOMAINS, "cd")
    said = await rig.said("cd", "deleted while in use: a, b have lost their IMEX daemons", "ComputeDomainDeletedInUse")
    assert said["type"] == "Warning"

    async def ended():
        labelled = await rig.label("node-1") or await rig.label("node-2")
        return (
            not labelled
            and not await rig.all(DOMAINS)
            and not await rig.all(PODS, names.DRIVER_NAMESPACE, names.DOMAIN_LABEL)
        )

    await rig.until("domain, labels and daemons are gone", ended)
    assert await rig.runs("a", "b")()
    assert len(rig.records("node-1")) == 1, "the claim is still the worker's"
    await rig.delete(PODS, "a", "b")
    await rig.clean()


async def test_deleted_together_nobody_is_warned(raised):
    """`kubectl delete -f` of domain and pods is how everybody ends: pods that end by themselves are no news."""
    rig = await raised(2)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.create_worker("b", "node-2")
    await rig.running("a", "b")
    await rig.delete(DOMAINS, "cd")
    await rig.delete(PODS, "a", "b")
    await rig.until("it is gone", lambda: _absent(rig))
    await rig.until("the workers are gone", lambda: _no_pod(rig, "a"))

    async def silence():
        return not [e for e in await rig.all(EVENTS) if e["reason"] == "ComputeDomainDeletedInUse"]

    await rig.stays("no Warning", silence, GRACE + 1)
    await rig.clean()


async def test_a_domain_of_the_same_name_can_follow_at_once(raised):
    """Deleted under a worker and made again: the new one serves new workers, the old label does not come back."""
    rig = await raised(1)
    first = await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    await rig.delete(DOMAINS, "cd")
    await rig.until("it is gone", lambda: _absent(rig))
    second = await rig.create_domain()
    assert first != second
    await rig.delete(PODS, "a")
    await rig.until("a is gone", lambda: _no_pod(rig, "a"))
    await rig.create_worker("b", "node-1")
    await rig.running("b")
    assert await rig.label("node-1") == second


async def test_a_worker_that_comes_too_late_is_told_so(raised):
    """Deleted while a worker waits for it: nothing hangs, the worker's pod says why, and everything goes with it."""
    rig = await raised(2)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.until("node-1 has joined", lambda: rig.label("node-1"))
    await rig.delete(DOMAINS, "cd")
    await rig.until("the pod says why", lambda: _told(rig, "is being deleted", "is gone"))
    await rig.until("it is gone", lambda: _absent(rig))
    assert await rig.phase("a") == "Pending"
    await rig.delete(PODS, "a")
    await rig.clean()


async def _told(rig, *words):
    """Which of the two it is depends on who was faster."""
    return any(word in event["message"] for event in await rig.events("a") for word in words)


async def test_nothing_leaks_over_many_rounds(raised):
    """Five domains made, used on two nodes and deleted in any order leave no object, label, record, file or device."""
    rig = await raised(2)
    for turn in range(5):
        await rig.create_domain(wanted=2)
        await rig.create_worker("a", "node-1")
        await rig.create_worker("b", "node-2")
        if turn % 2:
            await rig.running("a", "b")
        else:
            await rig.until("on the way", lambda: rig.records("node-1"))
        doomed = [(PODS, "a"), (DOMAINS, "cd"), (PODS, "b")]
        for kind, name in (doomed, doomed[::-1], [doomed[1], doomed[0], doomed[2]])[turn % 3]:
            await rig.delete(kind, name)
        await rig.clean()


async def _absent(rig):
    return await rig.get(DOMAINS, "cd") is None


async def _no_pod(rig, name):
    return await rig.get(PODS, name) is None
