"""How often a list goes out while nodes come one after another, and that nobody is held back by a list that waits."""

import asyncio

import pytest
from msgspec.structs import replace

from nvdra.api.computedomain import ComputeDomain, ComputeDomainSpec, ComputeDomainStatus, Roster, RosterEntry
from nvdra.api.membership import IN_TROUBLE, WAITING
from nvdra.api.meta import Condition
from nvdra.domains.imex_domain.pace import GATHERING, PATIENT, TALKING, pace_of
from nvdra.domains.imex_domain.snapshot import ImexDomainSnapshot
from nvdra.engine.burst import AT_ONCE
from tests.builders import CLIQUE, Little
from tests.virtual_time import clock, virtually

LATEST = 41.0
"""Seconds until a node is listed, at the most."""


def a_list(*addresses, message=""):
    entries = (RosterEntry(f"node-{n}", a, "u.1", n) for n, a in enumerate(addresses) if a is not None)
    return Roster(message=message, daemons=tuple(entries))


def seen(old, *, expected, joined, reason=WAITING):
    status = ComputeDomainStatus(imexDomainCount=1, conditions=(Condition("Formed", "False", reason),))
    domain = ComputeDomain(spec=ComputeDomainSpec(expected), status=status)
    return ImexDomainSnapshot("uid", "u.1", 0.0, domain, roster=old, joined=joined)


@pytest.mark.parametrize(
    ("old", "new", "expected", "joined", "pace"),
    [
        (None, a_list(""), 18, 1, GATHERING),  # the first of a clique shows what is wrong with all
        (a_list(""), a_list("1"), 18, 1, GATHERING),
        (a_list("1"), a_list("1", "2"), 18, 2, PATIENT),
        (a_list("1"), a_list(*"123456"), 18, 6, PATIENT),
        (a_list("1"), a_list(*"1234567"), 18, 7, GATHERING),  # a third of a rack
        (a_list("1"), a_list("1", "2"), 5, 2, GATHERING),  # of a small domain each
        (a_list(*"123456"), a_list(), 18, 0, GATHERING),
        (a_list(*"12"), a_list(None, "2"), 18, 1, PATIENT),
        (a_list("1"), a_list("1", ""), 18, 18, GATHERING),  # all have come: as soon as the last has its address
        (a_list("1"), a_list("1", "2"), 18, 18, AT_ONCE),
        (a_list("1"), a_list("1", message="x"), 18, 1, PATIENT),  # progress
        (a_list("1"), a_list("1", message="x"), 18, 18, TALKING),
        (a_list("1"), a_list("1", message="x"), 2, 1, TALKING),
    ],
)
def test_while_nodes_are_missing_a_list_waits_for_more_of_them(old, new, expected, joined, pace):
    """Nothing waits once all have come, in a small domain, or for the first of a clique."""
    assert pace_of(seen(old, expected=expected, joined=joined), new) == pace


def test_trouble_is_told_as_soon_as_ever():
    """A node that is late for a reason, or finds no room, is not kept back with those that have just come."""
    old, new = a_list("1"), a_list("1", "2")
    assert pace_of(seen(old, expected=18, joined=2, reason=IN_TROUBLE), new) == TALKING
    crowded = replace(new, daemons=(*new.daemons, RosterEntry("node-9", "9", "u.1", -1)))
    assert pace_of(seen(old, expected=18, joined=3), crowded) == TALKING


async def _rack(little, nodes, cliques=1):
    domain = await little.domain(nodes=nodes)
    for number in range(nodes):
        await little.node(f"node-{number}", f"{CLIQUE}{number % cliques}")
    return domain.metadata.uid


def _rosters(little, since):
    """The controller's writes of rosters since then."""
    spent = little.store.counters.snapshot() - since
    kinds = {("create", "computedomaincliques"), ("update", "computedomaincliques")}
    return sum(n for r, n in spent.requests.items() if (r.verb, r.resource) in kinds)


async def _ready_once_listed(little, node, uid, clique):
    """What a node does: it joins, its daemon has an address a second later, and is ready once that is listed."""
    await little.join(node, uid, clique)
    await asyncio.sleep(1)
    await little.daemon(node, uid, ready=False)
    began = clock()
    while True:
        roster = (await little.rosters()).get(clique)
        entry = roster.entry(node) if roster else None
        if entry is not None and entry.ipAddress:
            break
        await asyncio.sleep(0.1)
    await little.daemon(node, uid)
    return clock() - began


@virtually
async def test_a_rack_that_comes_over_two_minutes_costs_five_lists_and_two_for_its_first_daemon(controlling):
    """18 nodes, one in seven seconds: a list for the first without and with its address, one for each six or 40 s, and formed."""
    little = await Little.started()
    controlling(little)
    uid = await _rack(little, 18)
    await asyncio.sleep(5)
    before, nodes = little.store.counters.snapshot(), []
    for number in range(18):
        nodes.append(asyncio.create_task(_ready_once_listed(little, f"node-{number}", uid, f"{CLIQUE}0")))
        await asyncio.sleep(120 / 18)
    waits = await asyncio.gather(*nodes)
    await asyncio.sleep(2)
    assert (await little.rosters())[f"{CLIQUE}0"].status == "Ready"
    assert max(waits) <= LATEST
    assert _rosters(little, before) <= 7


@virtually
async def test_with_the_last_node_everybody_is_listed_at_once(controlling):
    """Two cliques of which one has waited for more: the last label sends its list, the last address the other one."""
    little = await Little.started()
    controlling(little)
    uid = await _rack(little, 18, cliques=2)
    one, two = f"{CLIQUE}0", f"{CLIQUE}1"
    for number in range(16):
        await little.up([f"node-{number}"], uid, f"{CLIQUE}{number % 2}")
    await asyncio.sleep(50)
    await little.up(["node-16"], uid, one)
    await asyncio.sleep(5)
    assert (await little.rosters())[one].entry("node-16") is None
    await little.join("node-17", uid, two)
    await asyncio.sleep(0.3)
    assert (await little.rosters())[one].entry("node-16").ipAddress
    await little.daemon("node-17", uid)
    await asyncio.sleep(0.5)
    rosters = await little.rosters()
    assert all(rosters[clique].formed and rosters[clique].status == "Ready" for clique in (one, two))


@virtually
async def test_why_a_node_is_late_is_told_to_the_others_in_time(controlling):
    """Of 18 two have come; the second cannot run its daemon: within ten seconds the first one's list says so."""
    little = await Little.started()
    controlling(little)
    uid = await _rack(little, 18)
    await little.up(["node-0"], uid, f"{CLIQUE}0")
    await asyncio.sleep(20)
    await little.join("node-1", uid, f"{CLIQUE}0")
    await little.daemon("node-1", uid, ready=False)
    await little.note("node-1", "port 50000 in use")
    await asyncio.sleep(10)
    roster = (await little.rosters())[f"{CLIQUE}0"]
    assert "node-1 has an IMEX daemon that is not ready: port 50000 in use" in roster.message
    assert roster.entry("node-1") is not None
