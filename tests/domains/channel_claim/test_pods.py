"""What the pods of a waiting worker are told, and how the kubelet is woken."""

import asyncio

from nvdra.api import kinds, names
from nvdra.api.local import DAEMON_STATUSES, DaemonStatus
from nvdra.errors import ApiError
from tests.domains.channel_claim.bench import a_bench, prepared
from tests.nodes import label
from tests.unreliable import Unreliable
from tests.virtual_time import clock, until, virtually


@virtually
async def test_waiting_pods_are_woken_until_the_kubelet_calls():
    """Released after the call was answered: its pods are touched, again after 5 s and 10 s, until a call has come."""
    bench = await a_bench(nodes=1)
    pod = await bench.pod("a")
    bench.plugin.wants("a", bench.uid, pods=(pod,))
    await asyncio.sleep(2)
    bench.plugin.hangs_up("a")
    await bench.ready()
    await until(lambda: bench.plugin.state("a") == "Holding.Calling")

    async def touched():
        found = await bench.little.hands.get(kinds.PODS, pod.name, "default")
        return found.metadata.annotations.get(names.NOTE_ANNOTATION, "")

    await asyncio.sleep(0.5)
    first = await touched()
    assert first.startswith("released ")
    await asyncio.sleep(4)
    assert await touched() == first
    await asyncio.sleep(2)
    second = await touched()
    assert second != first
    await asyncio.sleep(8)
    assert await touched() == second
    bench.plugin.wants("a", bench.uid, pods=(pod,))
    await until(lambda: bench.plugin.state("a") == "Holding.Prepared")
    bench.plugin.hangs_up("a", fetched=True)
    last = await touched()
    await asyncio.sleep(300)
    assert await touched() == last


@virtually
async def test_pods_that_run_are_left_alone():
    """After a restart nobody knows whether the kubelet has its answer: a pod that runs is touched once at most."""
    bench = await a_bench()
    pod = await bench.pod("a", "Running")
    await prepared(bench, pods=(pod,))
    await bench.plugin.restart()
    await asyncio.sleep(10)
    before = bench.little.store.counters.snapshot()
    await asyncio.sleep(1800)
    spent = bench.little.store.counters.snapshot() - before
    assert spent.total(agent="plugin", verb="patch", resource="pods") == 0


@virtually
async def test_who_lets_go_while_its_pods_are_woken_is_heard():
    """The pod ends while we touch it: what the kubelet says meanwhile is not overwritten by what we knew before."""

    class Slow(Unreliable):
        async def patch(self, kind, *args, **named):
            if kind is kinds.PODS:
                await asyncio.sleep(2)
            return await super().patch(kind, *args, **named)

    bench = await a_bench(nodes=1, wrap=Slow)
    plugin = bench.plugin
    plugin.wants("a", bench.uid)  # its pod is gone when it is touched
    await asyncio.sleep(1)
    plugin.hangs_up("a")
    await bench.ready()
    await until(lambda: plugin.state("a") == "Holding.Calling")
    await asyncio.sleep(0.5)
    plugin.lets_go("a")
    await asyncio.sleep(5)
    assert (plugin.left, await label(plugin)) == ({}, "")


@virtually
async def test_pods_that_may_not_be_touched_are_tried_seldom():
    """RBAC says no: it is told, and calls are held instead; five minutes later it is tried again, and may be allowed."""
    missing = True

    class Strict(Unreliable):
        async def patch(self, kind, *args, **named):
            if kind is kinds.PODS:
                self.calls.append(("patch", "pods"))
                if missing:
                    raise ApiError("pods is forbidden", code=403, reason="Forbidden")
            return await super().patch(kind, *args, **named)

    bench = await a_bench(wrap=Strict)
    pod = await bench.pod("a")
    plugin = bench.plugin
    plugin.wants("a", bench.uid, pods=(pod,))
    await asyncio.sleep(1)
    plugin.hangs_up("a")
    await bench.ready()
    await asyncio.sleep(200)
    assert not plugin.waker.allowed(clock())
    assert plugin.told("a").word == "Prepared"
    assert plugin.cluster.calls.count(("patch", "pods")) == 1
    missing = False
    await asyncio.sleep(200)
    assert plugin.waker.allowed(clock())
    found = await bench.little.hands.get(kinds.PODS, pod.name, "default")
    assert found.metadata.annotations[names.NOTE_ANNOTATION].startswith("released ")


@virtually
async def test_a_new_reason_is_told_to_the_pod():
    """The kubelet shows our answer at its next try only; when the reason changes meanwhile, the pod gets an Event."""
    bench = await a_bench(nodes=1)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(3)
    text = bench.plugin.told("a").explanation
    bench.plugin.hangs_up("a")
    bench.plugin.memory.answered("a", text, asyncio.get_running_loop().time())
    await asyncio.sleep(5)
    assert bench.plugin.said.notes == []
    bench.plugin.engine.store.put(DAEMON_STATUSES, DaemonStatus(bench.uid, "START", False, "port 50000 in use"))
    await asyncio.sleep(3)
    (note,) = bench.plugin.said.notes
    assert note[:2] == ("worker-a", "WaitingForComputeDomain")
    assert "node-1's IMEX daemon is not ready: port 50000 in use" in note[2]


@virtually
async def test_who_is_to_be_listed_with_others_is_told_what_the_domain_waits_for():
    """The second of eighteen: its node is listed with those that come, which is no fault of the controller."""
    bench = await a_bench(nodes=18)
    await bench.little.node("node-9")
    await bench.little.up(["node-9"], bench.uid)
    await asyncio.sleep(8)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(4)
    text = bench.plugin.told("a").explanation
    assert "17 of 18 nodes have not joined" in text
    assert "node-1 has joined, and the controller lists it within a minute, with others that come" in text
    await asyncio.sleep(41)
    assert "node-1 has no IMEX daemon pod yet" in bench.plugin.told("a").explanation


@virtually
async def test_a_reason_that_changes_just_after_an_answer_is_told_a_little_later():
    """Events of one claim keep their distance, but none is lost: the kubelet would show the old reason for a minute."""
    bench = await a_bench(nodes=1)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(3)
    text = bench.plugin.told("a").explanation
    bench.plugin.hangs_up("a")
    bench.plugin.memory.answered("a", text, asyncio.get_running_loop().time())
    bench.plugin.engine.store.put(DAEMON_STATUSES, DaemonStatus(bench.uid, "START", False, "port 50000 in use"))
    await asyncio.sleep(4)
    (note,) = bench.plugin.said.notes
    assert "port 50000 in use" in note[2]
