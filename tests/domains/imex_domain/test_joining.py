"""A rack that joins at once: few writes, and nobody waits for one of them."""

import asyncio

from tests.builders import CLIQUE, Little
from tests.domains.imex_domain.racks import a_rack
from tests.virtual_time import virtually


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
