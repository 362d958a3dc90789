"""Indices: given once, kept for life, never held by two, and remembered wherever anything of them survives."""

import asyncio

from nvdra.api import kinds, names
from nvdra.apps.controller import Controller
from tests.builders import CLIQUE, OWN, Little, indices
from tests.unreliable import Unreliable
from tests.virtual_time import virtually, wall


async def a_rack(little, nodes, domain_nodes=0):
    domain = await little.domain(nodes=domain_nodes)
    for number in range(nodes):
        await little.node(f"node-{number}")
    return domain


async def told(little, reason):
    return [event["message"] for event in await little.events() if event["reason"] == reason]


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


@virtually
async def test_a_roster_deleted_by_hand_is_made_again_as_it_was(controlling):
    """From the ComputeDomain's status: the same indices, the retired ones too, and the latch."""
    little = await Little.started()
    controlling(little)
    domain = await a_rack(little, 4, domain_nodes=2)
    for name in ("node-2", "node-3", "node-0"):
        await little.up([name], domain.metadata.uid)
        await asyncio.sleep(4)
    await little.leave("node-2")
    await little.no_daemon("node-2")
    await asyncio.sleep(8)
    before = (await little.rosters())[CLIQUE]
    assert indices(before) == {"node-3": 1, "node-0": 2}
    await little.hands.delete(kinds.ROSTERS, before.metadata.name, OWN)
    await asyncio.sleep(3)
    after = (await little.rosters())[CLIQUE]
    assert after.metadata.uid != before.metadata.uid
    assert (after.daemons, after.retired, after.formed) == (before.daemons, before.retired, True)
    await little.up(["node-2", "node-1"], domain.metadata.uid)
    await asyncio.sleep(3)
    assert indices((await little.rosters())[CLIQUE]) == {"node-3": 1, "node-0": 2, "node-2": 0, "node-1": 3}


@virtually
async def test_a_new_leader_changes_nothing(controlling):
    """A roster and a status that were right are right for the next leader too: it writes nothing and tells nobody."""
    little = await Little.started()
    first = controlling(little)
    domain = await a_rack(little, 4, domain_nodes=3)
    for name in ("node-2", "node-0", "node-1"):
        await little.up([name], domain.metadata.uid)
        await asyncio.sleep(3)
    await asyncio.sleep(10)
    await first.stop()
    before, events = little.store.version, len(await little.events())
    controlling(little, agent="second")
    await asyncio.sleep(60)
    assert (little.store.version, len(await little.events())) == (before, events)


@virtually
async def test_a_lost_latch_is_read_from_the_roster(controlling):
    """Somebody wipes the status: what the roster remembers is written back."""
    little = await Little.started()
    controlling(little)
    domain = await a_rack(little, 2, domain_nodes=2)
    await little.up(["node-0", "node-1"], domain.metadata.uid)
    await asyncio.sleep(8)
    await little.daemon("node-1", domain.metadata.uid, ready=False)
    await asyncio.sleep(8)
    before = (await little.rosters())[CLIQUE]
    name = domain.metadata.name
    await little.hands.patch(kinds.COMPUTE_DOMAINS, name, {"status": None}, "default", subresource="status")
    await asyncio.sleep(8)
    now = await little.seen(domain)
    assert now.condition("Formed").status == "True"
    assert now.status.imexDomains[0].members == ("node-0", "node-1")
    after = (await little.rosters())[CLIQUE]
    assert (after.formed, indices(after)) == (True, indices(before))


@virtually
async def test_indices_are_not_given_on_old_sight():
    """A roster is lost while we see an old ComputeDomain: its live status is read before indices are given again."""
    little = await Little.started()
    eyes = Unreliable(little.client("controller"))
    controller = Controller(eyes, wall=wall)
    asyncio.get_running_loop().create_task(controller.run())
    domain = await a_rack(little, 3)
    for name in ("node-2", "node-1", "node-0"):
        await little.up([name], domain.metadata.uid)
        await asyncio.sleep(5)
    store, before = controller.engine.store, indices((await little.rosters())[CLIQUE])
    assert before == {"node-2": 0, "node-1": 1, "node-0": 2}
    now = await little.seen(domain)
    eyes.blind |= {"computedomains", "nodes", "computedomaincliques"}
    store.drop(kinds.COMPUTE_DOMAINS, now)
    store.put(kinds.COMPUTE_DOMAINS, domain)  # as it was when it was made, from a server that lags behind
    roster = (await little.rosters())[CLIQUE]
    await little.hands.delete(kinds.ROSTERS, roster.metadata.name, OWN)
    store.drop(kinds.ROSTERS, roster)
    await asyncio.sleep(5)
    assert indices((await little.rosters())[CLIQUE]) == before
    eyes.blind.clear()
    await asyncio.sleep(10)
    assert indices((await little.rosters())[CLIQUE]) == before
    assert (await little.seen(domain)).status.imexDomains[0].members == ("node-2", "node-1", "node-0")


@virtually
async def test_an_old_status_is_not_written_over_a_new_one():
    """A leader that sees the past cannot take back the latch or the memory of indices."""
    little = await Little.started()
    eyes = Unreliable(little.client("controller"))
    controller = Controller(eyes, wall=wall)
    asyncio.get_running_loop().create_task(controller.run())
    domain = await a_rack(little, 2, domain_nodes=2)
    await asyncio.sleep(3)
    young = await little.seen(domain)
    await little.up(["node-0", "node-1"], domain.metadata.uid)
    await asyncio.sleep(8)
    now = await little.seen(domain)
    assert now.condition("Formed").status == "True"
    eyes.blind |= {"computedomains", "nodes", "computedomaincliques", "pods"}
    store = controller.engine.store
    store.drop(kinds.NODES, store.get(kinds.NODES, "node-1"))
    for thing in store.all(kinds.ROSTERS):
        store.drop(kinds.ROSTERS, thing)
    store.drop(kinds.COMPUTE_DOMAINS, now)
    store.put(kinds.COMPUTE_DOMAINS, young)
    await asyncio.sleep(10)
    later = await little.seen(domain)
    assert later.condition("Formed").status == "True"
    assert later.status.imexDomains[0].members == ("node-0", "node-1")


@virtually
async def test_eighteen_that_join_at_once_cost_five_writes(controlling):
    """From the first label to Ready: no conflict, and the driver's own writes for one IMEX domain are five at most."""
    little = await Little.started()
    controlling(little)
    domain = await a_rack(little, 18, domain_nodes=18)
    await asyncio.sleep(5)
    before = little.store.counters.snapshot()
    for number in range(18):
        await little.join(f"node-{number}", domain.metadata.uid)
        await asyncio.sleep(0.01)
    for number in range(18):
        await little.daemon(f"node-{number}", domain.metadata.uid, ready=False)
        await asyncio.sleep(0.02)
    await asyncio.sleep(1)
    for number in range(18):
        await little.daemon(f"node-{number}", domain.metadata.uid)
        await asyncio.sleep(0.02)
    await asyncio.sleep(20)
    spent = little.store.counters.snapshot() - before
    writes = {
        (r.verb, r.resource): count
        for r, count in spent.requests.items()
        if r.agent == "controller" and r.verb not in ("get", "list", "watch") and r.resource != "events"
    }
    assert (await little.seen(domain)).status.status == "Ready"
    assert (await little.rosters())[CLIQUE].status == "Ready"
    assert spent.total(code=409) == 0
    assert sum(writes.values()) <= 5, writes


@virtually
async def test_ready_follows_the_last_daemon_at_once(controlling):
    """What everybody waits for is held back by no burst: half a second after the last daemon the roster says formed."""
    little = await Little.started()
    controlling(little)
    domain = await a_rack(little, 18, domain_nodes=18)
    await little.up([f"node-{n}" for n in range(17)], domain.metadata.uid)
    await little.join("node-17", domain.metadata.uid)
    await asyncio.sleep(10)
    await little.daemon("node-17", domain.metadata.uid)
    await asyncio.sleep(1)
    roster = (await little.rosters())[CLIQUE]
    assert roster.formed
    assert all(entry.status == "Ready" for entry in roster.daemons)


@virtually
async def test_the_end_of_a_clique_is_not_the_end_of_its_memory(controlling):
    """When all nodes have left, the roster stays empty and remembers, for memory that was imported may be held."""
    little = await Little.started()
    controlling(little)
    domain = await a_rack(little, 2)
    await little.up(["node-1", "node-0"], domain.metadata.uid)
    await asyncio.sleep(3)
    for name in ("node-0", "node-1"):
        await little.leave(name)
    await asyncio.sleep(5)
    roster = (await little.rosters())[CLIQUE]
    assert roster.daemons == ()
    assert {gone.nodeName: gone.index for gone in roster.retired} == {"node-0": 0, "node-1": 1}
    assert roster.metadata.labels[names.CLIQUE_LABEL] == CLIQUE
    assert roster.status == "NotReady"
