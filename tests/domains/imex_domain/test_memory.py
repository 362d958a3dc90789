"""What is remembered of indices and of a domain that has formed, wherever anything of it survives."""

import asyncio

from nvdra.api import kinds, names
from nvdra.apps.controller import Controller
from tests.builders import CLIQUE, OWN, Little, indices
from tests.domains.imex_domain.racks import a_rack
from tests.unreliable import Unreliable
from tests.virtual_time import virtually, wall


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
