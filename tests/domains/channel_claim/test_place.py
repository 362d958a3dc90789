"""Whose the node is: one channel claim, one domain and one IMEX session on each, and a label that says so."""

import asyncio

from nvdra.api import kinds, names
from tests.domains.channel_claim.bench import a_bench, prepared
from tests.nodes import label
from tests.unreliable import Unreliable
from tests.virtual_time import until, virtually


@virtually
async def test_one_channel_claim_a_node():
    """The second waits and says who holds the channel; it goes on when the first is gone."""
    bench = await a_bench()
    await prepared(bench)
    bench.plugin.wants("b", bench.uid)
    await asyncio.sleep(2)
    assert (bench.plugin.state("b"), set(bench.plugin.disk.records)) == ("Placing", {"a"})
    assert "channel 0 of node-1 is held by claim default/claim-a" in bench.plugin.told("b").explanation
    bench.plugin.lets_go("a")
    await until(lambda: bench.plugin.state("b") == "Holding.Prepared")
    assert (set(bench.plugin.disk.records), await label(bench.plugin)) == ({"b"}, bench.uid)
    assert set(bench.plugin.disk.specs) == {"b"}


@virtually
async def test_two_claims_at_the_same_moment():
    """Both find the node free; one gets it."""
    bench = await a_bench()
    for uid in ("a", "b"):
        bench.plugin.wants(uid, bench.uid)
    await asyncio.sleep(5)
    assert len(bench.plugin.disk.records) == 1
    assert sorted(filter(None, (bench.plugin.state(uid) for uid in ("a", "b")))) == ["Holding.Waiting", "Placing"]


@virtually
async def test_a_node_of_another_domain_is_refused_by_name():
    """The label says whose the node is; the claim waits, the label stays, and goes on when it is gone."""
    bench = await a_bench()
    other = await bench.little.domain("other")
    await bench.little.join("node-1", other.metadata.uid)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(3)
    assert (
        f"node node-1 belongs to the ComputeDomain with uid {other.metadata.uid}" in bench.plugin.told("a").explanation
    )
    assert await label(bench.plugin) == other.metadata.uid
    await bench.little.leave("node-1")
    await asyncio.sleep(31)
    assert await label(bench.plugin) == bench.uid


@virtually
async def test_a_daemon_of_another_domain_keeps_the_node():
    """One IMEX session a node: while the previous domain's daemon is there, the next has to wait."""
    bench = await a_bench()
    bench.plugin.wants("d", "previous-domain", kind="daemon", domain_name="team/old")
    await asyncio.sleep(2)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(2)
    assert "the IMEX daemon of ComputeDomain team/old is still on node-1" in bench.plugin.told("a").explanation
    bench.plugin.lets_go("d", "daemon")
    await asyncio.sleep(2)
    assert bench.plugin.state("a") == "Holding.Waiting"


@virtually
async def test_a_domain_that_is_gone_or_elsewhere_is_refused():
    """No ComputeDomain of that uid in the claim's namespace: the refusal says so, and nothing is labelled."""
    bench = await a_bench()
    elsewhere = await bench.little.domain("elsewhere", namespace="kube-public")
    bench.plugin.wants("a", elsewhere.metadata.uid, domain_name="elsewhere")
    await asyncio.sleep(2)
    text = bench.plugin.told("a").explanation
    assert f"no ComputeDomain with uid {elsewhere.metadata.uid} in namespace default" in text
    assert await label(bench.plugin) == ""
    bench.plugin.lets_go("a")
    await asyncio.sleep(2)
    assert bench.plugin.left == {}


@virtually
async def test_no_new_worker_joins_a_domain_that_ends():
    """While it is being deleted the label is not put; who was let go before keeps what he has."""
    bench = await a_bench()
    hold = {"metadata": {"finalizers": ["somebody.else/holds", names.FINALIZER]}}
    await bench.little.hands.patch(kinds.COMPUTE_DOMAINS, bench.domain.metadata.name, hold, "default")
    await bench.little.delete(bench.domain)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(3)
    assert "is being deleted: no new worker may join it" in bench.plugin.told("a").explanation
    assert await label(bench.plugin) == ""


@virtually
async def test_a_label_that_may_be_there_is_taken_off_before_the_record_goes():
    """The node was labelled, the answer was lost, and the kubelet let go before the next look: no label stays behind."""
    asked, well = [], []

    def fate(verb, plural):
        """The first look is good, the label's answer is lost, and no second look comes through."""
        if plural != "nodes" or well:
            return ""
        asked.append(verb)
        return "after" if verb == "patch" else "before" if "patch" in asked else ""

    bench = await a_bench(wrap=lambda cluster: Unreliable(cluster, fate))
    bench.plugin.wants("a", bench.uid)
    await until(lambda: "patch" in asked)
    await asyncio.sleep(0.1)
    assert await bench.little.labelled(bench.uid) == ["node-1"]
    bench.plugin.lets_go("a")
    well.append(True)
    await until(lambda: not bench.plugin.disk.records)
    assert await bench.little.labelled(bench.uid) == []


@virtually
async def test_a_node_object_that_is_gone_holds_up_no_release():
    """No node, no label: the claim's record goes as well."""
    bench = await a_bench()
    await prepared(bench)
    await bench.little.hands.delete(kinds.NODES, "node-1")
    bench.plugin.lets_go("a")
    await asyncio.sleep(5)
    assert bench.plugin.left == {}


@virtually
async def test_a_label_taken_by_hand_comes_back():
    """As long as the claim is held, the node belongs to its domain."""
    bench = await a_bench(nodes=1)
    await prepared(bench)
    await bench.little.leave("node-1")
    await asyncio.sleep(70)
    assert await label(bench.plugin) == bench.uid
    assert bench.plugin.state("a") == "Holding.Prepared"
