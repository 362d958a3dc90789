"""A worker's claim: it waits as long as it must, gets exactly its channels, and leaves nothing behind."""

import asyncio

import pytest

from nvdra.domains.channel_claim import snapshot as channel_snapshot
from nvdra.domains.daemon_claim import snapshot as daemon_snapshot
from nvdra.engine.queue import Key
from nvdra.engine.store import Store
from nvdra.errors import NotYet
from nvdra.node import CdiSpec, ChannelNumbers, DeviceNode, Edits
from tests.builders import CLIQUE
from tests.domains.channel_claim.bench import CHANNEL_0, a_bench, prepared
from tests.nodes import label, reading
from tests.unreliable import Unreliable
from tests.virtual_time import until, virtually

CALL_HELD = 30
"""Seconds that the kubelet's call to release a claim is held."""


@virtually
async def test_from_the_first_call_to_nothing():
    """Record, label, wait, release, device node and CDI file; and back, with nothing left on node and API."""
    bench = await a_bench(nodes=1)
    plugin = bench.plugin
    plugin.wants("a", bench.uid)
    await asyncio.sleep(10)
    assert plugin.state("a") == "Holding.Waiting"
    assert await label(plugin) == bench.uid
    assert set(plugin.disk.records) == {"a"}
    assert (plugin.disk.specs, plugin.disk.devices) == ({}, set())
    assert "node-1 has no IMEX daemon pod yet" in plugin.told("a").explanation
    await bench.ready()
    await until(lambda: plugin.state("a") == "Holding.Prepared")
    node = DeviceNode(*CHANNEL_0)
    expected = CdiSpec("k8s.compute-domain.nvidia.com/claim", {"a-channel-0": Edits(device_nodes=(node,))})
    assert plugin.disk.specs == {"a": expected}
    assert plugin.disk.devices == {CHANNEL_0}
    assert plugin.disk.records["a"].released
    plugin.lets_go("a")
    await until(lambda: plugin.state("a") is None)
    assert (plugin.left, await label(plugin)) == ({}, "")
    assert plugin.engine.cells == {}


def test_before_the_first_look_nothing_is_known():
    """A plugin that has not looked at its hardware takes no snapshot: nothing is ordered on a guess."""
    store = Store(lambda _: None)
    for module in (channel_snapshot, daemon_snapshot):
        with pytest.raises(NotYet, match="the hardware has not been looked at yet"):
            module.View("node-1").observe(store, Key(module.KIND, "a"), 0.0)


@virtually
async def test_nothing_is_done_before_it_is_written_down():
    """While the record cannot be written, the node gets no label."""
    bench = await a_bench()
    bench.plugin.disk.fate = lambda what: "before" if what == "record" else ""
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(30)
    assert (bench.plugin.state("a"), await label(bench.plugin)) == ("Recording", "")
    bench.plugin.disk.fate = lambda _: ""
    await asyncio.sleep(31)
    assert await label(bench.plugin) == bench.uid


@pytest.mark.parametrize("clique", ["", CLIQUE], ids=["no fabric", "fabric"])
@virtually
async def test_no_fabric_is_a_statement_too(clique):
    """A node without fabric joins, is let go without an IMEX daemon, and nothing is injected."""
    bench = await a_bench(nodes=1, clique=clique)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(3)
    assert bench.plugin.state("a") == ("Holding.Waiting" if clique else "Holding.Prepared")
    if not clique:
        assert (bench.plugin.disk.specs, bench.plugin.disk.devices) == ({}, set())
        bench.plugin.lets_go("a")
        await asyncio.sleep(3)
        assert (bench.plugin.left, await label(bench.plugin)) == ({}, "")


@virtually
async def test_an_unknown_clique_holds_and_names_itself():
    """While the fabric is training nothing is recorded, and the wait says so, not that a record is missing."""
    bench = await a_bench()
    bench.plugin.looks(reading(None))
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(2)
    assert (bench.plugin.state("a"), bench.plugin.disk.records) == ("Placing", {})
    assert bench.plugin.told("a").explanation == "node-1: GPU 0: fabric registration is in progress"
    bench.plugin.looks(reading())
    await asyncio.sleep(2)
    assert bench.plugin.state("a") == "Holding.Waiting"


@virtually
async def test_a_clique_never_changes_under_a_recorded_claim():
    """Another reading later, or none, changes neither record nor CDI file of what is prepared."""
    bench = await a_bench()
    await prepared(bench)
    before = (dict(bench.plugin.disk.records), dict(bench.plugin.disk.specs))
    for found in (reading(None), reading("other.2"), reading("", ChannelNumbers(error="no driver"))):
        bench.plugin.looks(found)
        await asyncio.sleep(2)
        assert bench.plugin.state("a") == "Holding.Prepared"
    assert (bench.plugin.disk.records, bench.plugin.disk.specs) == before


@virtually
async def test_a_record_that_may_be_there_counts():
    """Its write failed, perhaps after it took effect: no other claim gets the node, and it is cleaned up all the same."""
    bench = await a_bench()
    told = iter(["after"])
    bench.plugin.disk.fate = lambda what: next(told, "before") if what == "record" else ""
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(1)
    assert set(bench.plugin.disk.records) == {"a"}
    bench.plugin.wants("b", bench.uid)
    await asyncio.sleep(1)
    assert set(bench.plugin.disk.records) == {"a"}
    bench.plugin.lets_go("b")
    bench.plugin.lets_go("a")
    bench.plugin.disk.fate = lambda _: ""
    await asyncio.sleep(3)
    bench.plugin.is_told_so("b")
    assert bench.plugin.left == {}


@pytest.mark.parametrize("moment", ["Waiting", "Prepared", "Leaving"])
@virtually
async def test_a_restart_at_any_moment(moment):
    """What was begun is gone on with from the disk, and released in full."""
    bench = await a_bench(nodes=1, wrap=Unreliable)
    plugin = bench.plugin
    plugin.wants("a", bench.uid)
    await asyncio.sleep(2)
    if moment != "Waiting":
        await bench.ready()
        await until(lambda: plugin.state("a") == "Holding.Prepared")
    if moment == "Leaving":
        plugin.cluster.fate = lambda verb, plural: "before" if (verb, plural) == ("patch", "nodes") else ""
        plugin.lets_go("a")
        await asyncio.sleep(1)
        assert plugin.state("a") == "Releasing.Leaving"
    await plugin.restart()
    await asyncio.sleep(2)
    if moment == "Leaving":
        assert await label(plugin) == bench.uid
        plugin.cluster.fate = lambda *_: ""
    else:
        await bench.ready()
        await asyncio.sleep(3)
        assert plugin.told("a").word == "Prepared"
        plugin.lets_go("a")
    await asyncio.sleep(31)
    assert (plugin.left, await label(plugin)) == ({}, "")


@virtually
async def test_calls_that_fail_delay_only():
    """Every request and write fails now and then: prepared in the end, and nothing left after the release."""
    count = [0]

    def fate(*_):
        count[0] += 1
        return {4: "before", 7: "after"}.get(count[0] % 9, "")

    bench = await a_bench(nodes=1, wrap=lambda cluster: Unreliable(cluster, fate))
    bench.plugin.disk.fate = fate
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(30)
    await bench.ready()
    await until(lambda: bench.plugin.state("a") == "Holding.Prepared", limit=200)
    bench.plugin.lets_go("a")
    await until(lambda: bench.plugin.state("a") is None, limit=300)
    assert (bench.plugin.left, await label(bench.plugin)) == ({}, "")


@pytest.mark.parametrize("kind", ["channel", "daemon"])
@virtually
async def test_a_full_disk_keeps_no_claim(kind):
    """Letting go needs no space: a worker that has filled its node's disk can end, and that is what frees it again."""
    bench = await a_bench()
    plugin = bench.plugin
    await prepared(bench)
    if kind == "daemon":
        plugin.wants("b", bench.uid, kind="daemon")
        await until(lambda: plugin.state("b", "daemon") == "Holding.Prepared")
    uid = "a" if kind == "channel" else "b"
    plugin.disk.fate = lambda what: "before" if what in ("record", "cdi", "file") else ""
    plugin.lets_go(uid, kind)
    await asyncio.sleep(CALL_HELD - 5)
    assert uid not in plugin.disk.specs
    assert uid not in plugin.disk.records
    assert plugin.state(uid, kind) is None
