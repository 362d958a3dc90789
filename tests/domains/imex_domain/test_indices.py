"""Indices: given once, kept for life, never held by two, and remembered wherever anything of them survives."""

import asyncio

from tests.builders import CLIQUE, Little, indices
from tests.domains.imex_domain.racks import a_rack, told
from tests.virtual_time import virtually


@virtually
async def test_the_smallest_unused_at_first_sight(controlling):
    """In the order in which nodes join; within one burst by name."""
    little = await Little.started()
    controlling(little)
    domain = await a_rack(little, 4)
    await little.up(["node-3"], domain.metadata.uid)
    await asyncio.sleep(3)
    await little.up(["node-2", "node-0"], domain.metadata.uid)
    await asyncio.sleep(3)
    assert indices((await little.rosters())[CLIQUE]) == {"node-3": 0, "node-0": 1, "node-2": 2}


@virtually
async def test_a_node_that_returns_gets_its_old_one(controlling):
    """An index that left is retired, not given again while another is unused; its node comes back to it."""
    little = await Little.started()
    controlling(little)
    domain = await a_rack(little, 4)
    await little.up(["node-0", "node-1"], domain.metadata.uid)
    await asyncio.sleep(3)
    await little.leave("node-0")
    await little.no_daemon("node-0")
    await asyncio.sleep(3)
    roster = (await little.rosters())[CLIQUE]
    assert [(gone.nodeName, gone.index) for gone in roster.retired] == [("node-0", 0)]
    await little.up(["node-2"], domain.metadata.uid)
    await asyncio.sleep(3)
    await little.up(["node-0"], domain.metadata.uid)
    await asyncio.sleep(3)
    roster = (await little.rosters())[CLIQUE]
    assert indices(roster) == {"node-0": 0, "node-1": 1, "node-2": 2}
    assert roster.retired == ()


@virtually
async def test_the_nineteenth_node_is_refused_by_name(controlling):
    """A clique of eighteen takes no nineteenth: who cannot join, and what to do, is a condition and one Warning."""
    little = await Little.started()
    controlling(little)
    domain = await a_rack(little, 19)
    await little.up([f"node-{n}" for n in range(18)], domain.metadata.uid)
    await asyncio.sleep(3)
    await little.up(["node-18"], domain.metadata.uid)
    await asyncio.sleep(10)
    roster = (await little.rosters())[CLIQUE]
    assert sorted(indices(roster).values()) == [-1, *range(18)]
    assert indices(roster)["node-18"] == -1
    now = await little.seen(domain)
    full = now.condition("IndicesAvailable")
    assert (full.status, full.reason) == ("False", "CliqueFull")
    assert "node-18" in full.message
    (message,) = await told(little, "CliqueFull")
    assert "node-18 cannot join: clique" in message
    await little.daemon("node-3", domain.metadata.uid, ready=False)
    await asyncio.sleep(10)
    entry = (await little.rosters())[CLIQUE].entry("node-3")
    assert entry.status == "NotReady"  # a full clique goes on telling
    await little.leave("node-18")
    await asyncio.sleep(10)
    assert (await little.seen(domain)).condition("IndicesAvailable").status == "True"


@virtually
async def test_the_longest_retired_is_taken_over_with_a_warning(controlling):
    """When none is unused, the index that was left first goes to the newcomer, and people are told."""
    little = await Little.started()
    controlling(little, max_nodes=3)
    domain = await a_rack(little, 5)
    await little.up(["node-0", "node-1", "node-2"], domain.metadata.uid)
    await asyncio.sleep(3)
    for name in ("node-1", "node-0"):
        await little.leave(name)
        await little.no_daemon(name)
        await asyncio.sleep(5)
    await little.up(["node-3"], domain.metadata.uid)
    await asyncio.sleep(3)
    roster = (await little.rosters())[CLIQUE]
    assert indices(roster) == {"node-2": 2, "node-3": 1}
    assert [gone.nodeName for gone in roster.retired] == ["node-0"]
    (message,) = await told(little, "IndexTakenOver")
    assert "node-3 takes index 1 of node-1, retired since" in message
    await little.up(["node-1"], domain.metadata.uid)
    await asyncio.sleep(3)
    assert indices((await little.rosters())[CLIQUE]) == {"node-2": 2, "node-3": 1, "node-1": 0}


@virtually
async def test_no_index_is_taken_from_a_daemon_that_still_runs(controlling):
    """The longest-retired one whose daemon is gone is taken; while none is, the newcomer waits and all others go on."""
    little = await Little.started()
    controlling(little, max_nodes=2)
    domain = await a_rack(little, 4)
    await little.up(["node-0", "node-1"], domain.metadata.uid)
    await asyncio.sleep(3)
    await little.leave("node-0")  # its daemon's pod does not end
    await asyncio.sleep(3)
    await little.up(["node-2"], domain.metadata.uid)
    await asyncio.sleep(3)
    (message,) = await told(little, "CliqueFull")
    assert "kept for nodes that left: node-0, whose IMEX daemon pod is still there" in message
    await little.daemon("node-1", domain.metadata.uid, ready=False, ip="10.9.9.9")
    await asyncio.sleep(10)
    roster = (await little.rosters())[CLIQUE]
    assert indices(roster) == {"node-1": 1, "node-2": -1}
    assert (roster.entry("node-1").status, roster.entry("node-1").ipAddress) == ("NotReady", "10.9.9.9")
    await little.no_daemon("node-0")
    await asyncio.sleep(35)
    assert indices((await little.rosters())[CLIQUE]) == {"node-1": 1, "node-2": 0}
    assert len(await told(little, "CliqueFull")) == 1


@virtually
async def test_a_younger_retired_index_is_taken_when_the_older_is_kept(controlling):
    """One pod that hangs does not cost the clique a place that is free."""
    little = await Little.started()
    controlling(little, max_nodes=2)
    domain = await a_rack(little, 4)
    await little.up(["node-0", "node-1"], domain.metadata.uid)
    await asyncio.sleep(3)
    await little.leave("node-0")  # its daemon's pod does not end
    await asyncio.sleep(5)
    await little.leave("node-1")
    await little.no_daemon("node-1")
    await asyncio.sleep(5)
    await little.up(["node-2"], domain.metadata.uid)
    await asyncio.sleep(5)
    assert indices((await little.rosters())[CLIQUE]) == {"node-2": 1}
