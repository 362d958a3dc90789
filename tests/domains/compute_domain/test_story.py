"""The controller as a whole, on virtual time: what the guide shows, and what numNodes means."""

import asyncio

from nvdra.api import kinds, names
from tests.builders import CLIQUE, GUIDE, OTHER_CLIQUE, OWN, RAW_TEMPLATES, Little, indices
from tests.virtual_time import virtually


def word(domain):
    return domain.status.status


def condition(domain, type_):
    found = domain.condition(type_)
    return (found.status, found.reason)


@virtually
async def test_a_domain_gets_what_its_workload_needs(controlling):
    """The guide's domain has a claim template, a daemon template and a DaemonSet named as the guide shows."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain()
    await asyncio.sleep(2)
    name = names.daemonset_name(GUIDE, domain.metadata.uid)
    assert name.startswith(f"{GUIDE}-") and len(name) == len(GUIDE) + 6
    (daemon_set,) = await little.daemon_sets()
    assert daemon_set["metadata"]["name"] == name
    assert daemon_set["spec"]["updateStrategy"]["type"] == "OnDelete"
    found = {(t.metadata.namespace, t.metadata.name) for t in await little.templates()}
    assert found == {("default", f"{GUIDE}-channel"), (OWN, name)}
    workload = await little.hands.get(RAW_TEMPLATES, f"{GUIDE}-channel", "default")
    request = workload["spec"]["spec"]["devices"]
    assert request["requests"][0]["exactly"]["deviceClassName"] == names.CHANNEL_CLASS
    assert request["config"][0]["opaque"]["parameters"] == {
        "apiVersion": "resource.nvidia.com/v1beta1",
        "kind": "ComputeDomainChannelConfig",
        "domainID": domain.metadata.uid,
        "allocationMode": "Single",
    }
    now = await little.seen(domain)
    assert now.metadata.finalizers == (names.FINALIZER,)
    assert condition(now, "Provisioned") == ("True", "Provisioned")
    assert word(now) == "Ready"  # numNodes 0: formed from the start


@virtually
async def test_two_of_two_nodes_form_it(controlling):
    """With numNodes 2 it is ready once two nodes were ready at once, and the roster says who has which index."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain(nodes=2)
    for name in ("node-1", "node-2"):
        await little.node(name)
    await little.up(["node-1"], domain.metadata.uid)
    await asyncio.sleep(5)
    now = await little.seen(domain)
    assert (word(now), now.status.nodesReady) == ("NotReady", "1/2")
    assert condition(now, "Formed") == ("False", "WaitingForNodes")
    assert "1 of 2 nodes has not joined" in now.condition("Ready").message
    assert not (await little.rosters())[CLIQUE].formed
    await little.up(["node-2"], domain.metadata.uid)
    await asyncio.sleep(5)
    now = await little.seen(domain)
    assert (word(now), now.status.nodesReady) == ("Ready", "2/2")
    roster = (await little.rosters())[CLIQUE]
    assert indices(roster) == {"node-1": 0, "node-2": 1}
    assert (roster.formed, roster.status) == (True, "Ready")
    assert [node.name for node in now.status.nodes] == ["node-1", "node-2"]
    assert [(d.cliqueID, d.members) for d in now.status.imexDomains] == [(CLIQUE, ("node-1", "node-2"))]
    reasons = {event["reason"] for event in await little.events()}
    assert reasons == {"ComputeDomainReady", "ImexDomainReady"}


@virtually
async def test_ready_one_after_the_other_is_not_at_once(controlling):
    """Two nodes that were ready at different times have not formed a domain of two."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain(nodes=2)
    for name in ("node-1", "node-2"):
        await little.node(name)
        await little.join(name, domain.metadata.uid)
    await little.daemon("node-1", domain.metadata.uid)
    await asyncio.sleep(2)
    await little.daemon("node-1", domain.metadata.uid, ready=False)
    await little.daemon("node-2", domain.metadata.uid)
    await asyncio.sleep(4)
    assert condition(await little.seen(domain), "Formed") == ("False", "WaitingForNodes")


@virtually
async def test_nodes_without_fabric_block_nobody(controlling):
    """They count as ready as soon as they joined, have no index, and a roster of their own to read."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain(nodes=2)
    await little.node("node-1")
    await little.node("plain-2", clique="")
    await little.join("plain-2", domain.metadata.uid, clique="")
    await little.up(["node-1"], domain.metadata.uid)
    await asyncio.sleep(5)
    now = await little.seen(domain)
    assert (word(now), now.status.nodesReady, now.status.imexDomainCount) == ("Ready", "2/2", 1)
    rosters = await little.rosters()
    assert indices(rosters[""]) == {"plain-2": -1}
    assert rosters[""].formed
    assert rosters[""].status == "Ready"
    assert [(n.name, n.index) for n in now.status.nodes] == [("node-1", 0), ("plain-2", -1)]


@virtually
async def test_each_clique_is_an_imex_domain(controlling):
    """Nodes of two cliques have two rosters with indices of their own, and form one domain together."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain(nodes=4)
    for number in range(4):
        await little.node(f"node-{number}", CLIQUE if number < 2 else OTHER_CLIQUE)
    await little.up(["node-0", "node-1"], domain.metadata.uid)
    await asyncio.sleep(3)
    assert not (await little.rosters())[CLIQUE].formed
    await little.up(["node-2", "node-3"], domain.metadata.uid, OTHER_CLIQUE)
    await asyncio.sleep(5)
    rosters = await little.rosters()
    assert indices(rosters[CLIQUE]) == {"node-0": 0, "node-1": 1}
    assert indices(rosters[OTHER_CLIQUE]) == {"node-2": 0, "node-3": 1}
    assert all(roster.formed for roster in rosters.values())
    now = await little.seen(domain)
    assert (word(now), now.status.imexDomainCount) == ("Ready", 2)


@virtually
async def test_a_lost_node_degrades_but_holds_nobody_back(controlling):
    """Once formed it stays formed: a node whose daemon fails makes it Degraded, still Ready, and says who and why."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain(nodes=2)
    for name in ("node-1", "node-2"):
        await little.node(name)
    await little.up(["node-1", "node-2"], domain.metadata.uid)
    await asyncio.sleep(5)
    await little.daemon("node-2", domain.metadata.uid, ready=False)
    await asyncio.sleep(8)
    now = await little.seen(domain)
    assert (word(now), condition(now, "Ready")) == ("Ready", ("True", "Degraded"))
    assert "node-2" in now.condition("Ready").message
    assert condition(now, "Formed") == ("True", "Formed")
    roster = (await little.rosters())[CLIQUE]
    assert roster.formed
    assert {e.nodeName: e.status for e in roster.daemons} == {"node-1": "Ready", "node-2": "NotReady"}
    assert "ComputeDomainDegraded" in {event["reason"] for event in await little.events()}
    await little.leave("node-2")
    await asyncio.sleep(5)
    assert condition(await little.seen(domain), "Ready") == ("True", "Ready")


@virtually
async def test_when_the_last_node_has_left_it_has_not_formed(controlling):
    """The next job waits for all of its nodes again."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain(nodes=2)
    for name in ("node-1", "node-2", "node-3"):
        await little.node(name)
    await little.up(["node-1", "node-2"], domain.metadata.uid)
    await asyncio.sleep(5)
    await little.leave("node-1")
    await asyncio.sleep(5)
    assert condition(await little.seen(domain), "Formed") == ("True", "Formed")
    await little.leave("node-2")
    await asyncio.sleep(0.2)  # the roster still says formed: it is written in bursts
    await little.up(["node-3"], domain.metadata.uid)
    await asyncio.sleep(8)
    now = await little.seen(domain)
    assert (word(now), condition(now, "Formed")) == ("NotReady", ("False", "WaitingForNodes"))
    assert not (await little.rosters())[CLIQUE].formed


@virtually
async def test_two_domains_keep_apart(controlling):
    """Each has its own objects, and the end of one leaves the other alone."""
    little = await Little.started()
    controlling(little)
    one, two = await little.domain("one"), await little.domain("two")
    for name in ("node-1", "node-2"):
        await little.node(name)
    await little.up(["node-1"], one.metadata.uid)
    await little.up(["node-2"], two.metadata.uid)
    await asyncio.sleep(5)
    await little.delete(one)
    await asyncio.sleep(5)
    assert await little.seen(one) is None
    assert await little.left_of(one.metadata.uid) == []
    assert word(await little.seen(two)) == "Ready"
    assert await little.labelled(two.metadata.uid) == ["node-2"]
    assert len(await little.left_of(two.metadata.uid)) == 6


@virtually
async def test_a_differing_label_is_a_condition(controlling):
    """What GPU Feature Discovery says and what NVML says must agree; if not, the domain names the node."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain()
    await little.node("node-1", gfd=OTHER_CLIQUE)
    await little.up(["node-1"], domain.metadata.uid)
    await asyncio.sleep(5)
    now = await little.seen(domain)
    assert condition(now, "CliquesAgree") == ("False", "CliqueMismatch")
    assert "node-1 is labelled" in now.condition("CliquesAgree").message


@virtually
async def test_a_reason_on_the_pod_reaches_the_domain(controlling):
    """What the plugin notes on a daemon's pod is what the domain waits for, node and reason named."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain(nodes=1)
    await little.node("node-1")
    await little.join("node-1", domain.metadata.uid)
    await little.daemon("node-1", domain.metadata.uid, ready=False)
    note = {"metadata": {"annotations": {names.NOTE_ANNOTATION: "port 50000 in use"}}}
    await little.hands.patch(kinds.PODS, "daemon-node-1", note, OWN)
    await asyncio.sleep(10)
    expected = "waiting for 1 of 1 nodes: node-1 has an IMEX daemon that is not ready: port 50000 in use"
    assert (await little.seen(domain)).condition("Ready").message == expected
    assert "port 50000 in use" in (await little.rosters())[CLIQUE].message


@virtually
async def test_a_wait_says_who_is_late_and_who_is_missing(controlling):
    """One node of three is not ready and one has not joined: both are said, and the number."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain(nodes=3)
    for name in ("node-1", "node-2"):
        await little.node(name)
        await little.join(name, domain.metadata.uid)
    await little.daemon("node-1", domain.metadata.uid)
    await asyncio.sleep(10)
    expected = "waiting for 2 of 3 nodes: node-2 has no IMEX daemon pod yet; 1 of 3 nodes has not joined"
    assert (await little.seen(domain)).condition("Ready").message == expected


@virtually
async def test_very_many_nodes_are_not_listed_one_by_one(controlling):
    """Above 2,000 nodes the status lists IMEX domains only; the counts are there all the same."""
    little = await Little.started()
    domain = await little.domain()
    for number in range(2001):
        labels = {names.DOMAIN_LABEL: domain.metadata.uid}
        await little.hands.create(kinds.NODES, {"metadata": {"name": f"n{number:04}", "labels": labels}})
    controlling(little)
    await asyncio.sleep(8)
    now = await little.seen(domain)
    assert (now.status.nodes, now.status.nodesReady) == ((), "2001/2001")
    await little.leave("n0000")
    await asyncio.sleep(8)
    assert len((await little.seen(domain)).status.nodes) == 2000


@virtually
async def test_a_node_without_a_clique_beside_others_is_named(controlling):
    """It is ready, as a node without a fabric is; that its workers get no channel is said, with the way out."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain(nodes=2)
    await little.node("node-1")
    await little.node("node-2", clique="")
    await little.up(["node-1"], domain.metadata.uid)
    await asyncio.sleep(5)
    assert condition(await little.seen(domain), "CliquesAgree") == ("True", "Agree")
    await little.up(["node-2"], domain.metadata.uid, clique="")
    await asyncio.sleep(5)
    now = await little.seen(domain)
    assert word(now) == "Ready"
    assert condition(now, "CliquesAgree") == ("False", "NoClique")
    assert now.condition("CliquesAgree").message.startswith("node-2 has no NVLink clique while other nodes")


@virtually
async def test_a_peer_that_is_not_reached_is_named(controlling):
    """By a condition of its own, which takes nothing back: the domain stays ready."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain(nodes=2)
    for name in ("node-1", "node-2"):
        await little.node(name)
    await little.up(["node-1", "node-2"], domain.metadata.uid)
    await asyncio.sleep(5)
    assert condition(await little.seen(domain), "PeersConnected") == ("True", "Connected")
    note = {"metadata": {"annotations": {names.NOTE_ANNOTATION: f"{names.WORRY}not connected to node-2"}}}
    await little.hands.patch(kinds.PODS, "daemon-node-1", note, OWN)
    await asyncio.sleep(5)
    now = await little.seen(domain)
    assert word(now) == "Ready"
    assert condition(now, "PeersConnected") == ("False", "PeersUnreachable")
    assert now.condition("PeersConnected").message == "node-1 is ready, but not connected to node-2"
