"""What all agents stand on: the mirror of a collection, the queue of keys, addresses, Events."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvdra.errors import Again
from nvdra.sim.apiserver.inprocess import InProcess
from nvdra.sim.apiserver.store import ObjectStore
from nvdra.sim.kube import kinds
from nvdra.sim.kube.link import Link
from nvdra.sim.kube.loop import Loop
from nvdra.sim.kube.mirror import Mirror
from nvdra.sim.kube.recorder import Recorder
from nvdra.sim.kube.runtime.containers import Loopback
from nvdra.sim.kube.shapes import with_condition


def _seen(version, uid="u", name="n"):
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": str(version)}}


@given(st.permutations([1, 2, 3, 4, 5]))
def test_a_mirror_never_goes_backwards(order):
    """In whatever order sights arrive, the newest one stands, and nobody hears of an older one after it."""
    mirror, heard = Mirror(InProcess(ObjectStore()), kinds.NODES), []
    mirror.listen(lambda _, new: heard.append(int(new["metadata"]["resourceVersion"])))
    for version in order:
        mirror.put(_seen(version))
    assert mirror.get("n") == _seen(5)
    assert heard == sorted(heard)


def test_what_was_dropped_does_not_come_back():
    """A late sight of a deleted object changes nothing; another object of that name is another object."""
    mirror = Mirror(InProcess(ObjectStore()), kinds.NODES)
    mirror.put(_seen(1))
    mirror.drop(_seen(2))
    mirror.put(_seen(1))
    assert mirror.get("n") is None
    mirror.drop(_seen(9, uid="other"))
    mirror.put(_seen(3, uid="other"))
    assert mirror.get("n") == _seen(3, uid="other")


async def test_a_mirror_follows_and_tells_those_who_come_late():
    """Objects from before, during and after are in it; a late listener hears of all."""
    cluster = InProcess(ObjectStore())
    await cluster.create(kinds.NODES, {"metadata": {"name": "before"}})
    mirror = Mirror(cluster, kinds.NODES)
    task = asyncio.ensure_future(mirror.run())
    await mirror.synced.wait()
    arrived = asyncio.Event()
    mirror.listen(lambda _, new: arrived.set() if new and new["metadata"]["name"] == "after" else None)
    await cluster.create(kinds.NODES, {"metadata": {"name": "after"}})
    await asyncio.wait_for(arrived.wait(), 5)
    late = []
    mirror.listen(lambda _, new: late.append(new["metadata"]["name"]))
    assert sorted(late) == ["after", "before"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_key_that_failed_comes_back_and_one_that_waits_waits_once():
    """Equal keys are one piece of work; failing work is tried again, whatever was raised."""
    done, failures = [], [Again("not yet"), ValueError("a bug")]
    finished = asyncio.Event()

    async def work(key):
        done.append(key)
        if key == "a" and failures:
            raise failures.pop()
        if key == "a":
            finished.set()

    loop = Loop("test", work)
    for key in ("a", "b", "a"):
        loop.add(key)
    loop.later("c", 0)
    task = asyncio.ensure_future(loop.run())
    await asyncio.wait_for(finished.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(done) == ["a", "a", "a", "b", "c"]


@given(st.lists(st.booleans(), max_size=600))
def test_no_two_pods_have_one_address(steps):
    """Addresses in use are all different, and none is in 127.0.0.0/16."""
    addresses, used = Loopback(7), []
    for take in steps:
        if take or not used:
            used.append(addresses.take())
        else:
            addresses.give_back(used.pop(0))
    assert len(set(used)) == len(used)
    assert all(address.startswith("127.7.") and not address.endswith((".0", ".255")) for address in used)


async def test_a_cut_link_answers_nothing():
    """While it is cut every request is refused with the node's name."""
    link = Link(InProcess(ObjectStore()), "node-a", cut=True)
    for request in (
        link.get(kinds.NODES, "n"),
        link.list(kinds.NODES),
        link.create(kinds.NODES, {}),
        link.patch(kinds.NODES, "n", {}),
        link.replace(kinds.NODES, "n", {}),
        link.delete(kinds.NODES, "n"),
    ):
        with pytest.raises(Again, match="node node-a is cut off"):
            await request
    link.cut = False
    assert (await link.list(kinds.NODES)).items == ()


async def test_equal_events_are_counted_up():
    """The same thing told three times is one Event with count 3."""
    cluster = InProcess(ObjectStore())
    pod = {"metadata": {"name": "p", "namespace": "default", "uid": "u"}}
    events = Recorder(cluster, "kubelet", "node-a")
    for _ in range(3):
        await events.tell(pod, "Pod", "BackOff", "again", warning=True)
    found = (await cluster.list(kinds.EVENTS)).items
    assert [(e["reason"], e["type"], e["count"], e["source"]["host"]) for e in found] == [
        ("BackOff", "Warning", 3, "node-a")
    ]


def test_a_condition_keeps_its_time_until_its_status_changes():
    """A new message moves no transition time; a new status does."""
    first = [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    same = with_condition(first, "Ready", "False", "Why", "said anew")
    assert same[0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert with_condition(same, "Ready", "True")[0]["lastTransitionTime"] != "2026-01-01T00:00:00Z"
