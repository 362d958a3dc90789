"""When a worker is let go: on live sight only, once for all, and for this stay only."""

import asyncio

import pytest
from msgspec.structs import replace

from nvdra.api import kinds
from tests.builders import CLIQUE, OWN
from tests.domains.channel_claim.bench import a_bench, prepared
from tests.nodes import label
from tests.unreliable import Unreliable
from tests.virtual_time import until, virtually


@virtually
async def test_a_release_is_not_taken_back():
    """A peer's failure, a lost roster, even the end of the domain: a prepared claim stays prepared."""
    bench = await a_bench(nodes=1)
    await prepared(bench)
    before = dict(bench.plugin.disk.specs)
    await bench.little.daemon("node-1", bench.uid, ready=False)
    await asyncio.sleep(8)
    await bench.little.delete(bench.domain)
    await asyncio.sleep(8)
    assert await bench.little.seen(bench.domain) is None
    assert (bench.plugin.state("a"), bench.plugin.disk.specs) == ("Holding.Prepared", before)
    bench.plugin.lets_go("a")
    await asyncio.sleep(3)
    assert bench.plugin.left == {}


async def one_of_two(wrap=lambda cluster: cluster):
    """This node and its daemon are ready, the other node is missing, and the controller has gone to sleep."""
    bench = await a_bench(nodes=2, wrap=wrap)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(3)
    await bench.ready()
    await asyncio.sleep(10)
    assert (await bench.little.rosters())[CLIQUE].daemons[0].status == "Ready"
    bench.controller.cancel()
    await asyncio.sleep(0)
    return bench


@virtually
async def test_a_release_reads_the_roster_live():
    """Our view says that the domain has formed, the API server says otherwise: the worker is not let go."""
    bench = await one_of_two(Unreliable)
    roster = (await bench.little.rosters())[CLIQUE]
    bench.plugin.cluster.blind.add("computedomaincliques")
    bench.plugin.engine.store.put(kinds.ROSTERS, replace(roster, formed=True, message="a dream"))
    await asyncio.sleep(3)
    assert not bench.plugin.disk.records["a"].released


@pytest.mark.parametrize("labelled", [True, False])
@virtually
async def test_a_release_reads_the_label_live(labelled):
    """The domain has formed with this node in it; but if its label is gone, and with it soon the daemon, nobody is let go."""
    bench = await one_of_two(Unreliable)
    if not labelled:
        await bench.little.leave("node-1")
        bench.plugin.cluster.fate = lambda *what: "before" if what == ("patch", "nodes") else ""
    roster = (await bench.little.rosters())[CLIQUE]
    body = {"formed": True, "message": "", "status": "Ready"}
    await bench.little.hands.patch(kinds.ROSTERS, roster.metadata.name, body, OWN)
    await asyncio.sleep(0.1)
    assert bench.plugin.disk.records["a"].released == labelled


@virtually
async def test_who_asks_again_after_letting_go_waits_again():
    """The node was given back meanwhile: the old release is no licence."""
    bench = await a_bench(nodes=1)
    await prepared(bench)
    bench.plugin.disk.fate = lambda what: "before" if what == "forget" else ""
    bench.plugin.lets_go("a")
    await asyncio.sleep(0.2)
    assert await label(bench.plugin) == ""
    await bench.little.no_daemon("node-1")
    await asyncio.sleep(3)
    bench.plugin.disk.fate = lambda _: ""
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(0.3)
    assert "a" not in bench.plugin.disk.specs
    assert not bench.plugin.disk.records["a"].released
    await asyncio.sleep(3)
    await bench.ready()
    await until(lambda: bench.plugin.state("a") == "Holding.Prepared")


@virtually
async def test_a_quick_successor_is_not_forgotten():
    """A worker is replaced so quickly that the controller sees no change: the next is prepared all the same."""
    bench = await a_bench(nodes=1)
    await prepared(bench)
    bench.plugin.wants("b", bench.uid)
    await asyncio.sleep(1)
    bench.plugin.lets_go("a")
    await until(lambda: bench.plugin.state("b") == "Holding.Prepared", limit=10)
