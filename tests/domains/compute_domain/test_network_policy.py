"""One network policy a domain: its own daemons reach each other's IMEX, and nobody else does."""

import asyncio

import pytest

from nvdra.api import kinds, names
from nvdra.api.kinds import NETWORK_POLICIES
from nvdra.sim.apiserver.counters import Counts
from tests.builders import GUIDE, OWN, RAW_DAEMON_SETS, RAW_POLICIES, Little
from tests.unreliable import Unreliable
from tests.virtual_time import virtually


def of(uid):
    """The spec that a domain's policy has."""
    mine = {"matchLabels": {names.DOMAIN_LABEL: uid}}
    imex = [{"protocol": "TCP", "port": 50000}, {"protocol": "TCP", "port": 50005}]
    health = [{"protocol": "TCP", "port": 50010}]
    ingress = [{"from": [{"podSelector": mine}], "ports": imex}, {"ports": health}]
    return {"podSelector": mine, "policyTypes": ["Ingress"], "ingress": ingress}


async def a_provisioned_domain(controlling, **daemons):
    little = await Little.started()
    run = controlling(little, **daemons)
    domain = await little.domain()
    await asyncio.sleep(2)
    return little, run, domain


def asked(little, before=None):
    """The verbs that the controller used on policies, since then or ever."""
    spent = (little.store.counters.snapshot() - (before or Counts())).requests
    return {r.verb: n for r, n in spent.items() if (r.agent, r.resource) == ("controller", "networkpolicies")}


@virtually
async def test_each_domain_has_its_own(controlling):
    """Of the same name as its DaemonSet, and owned by it; it names this domain's daemons on both sides."""
    little, _, one = await a_provisioned_domain(controlling)
    two = await little.domain("two")
    await asyncio.sleep(2)
    sets = {s["metadata"]["name"]: s["metadata"]["uid"] for s in await little.daemon_sets()}
    found = {p["metadata"]["name"]: p for p in await little.policies()}
    assert found.keys() == sets.keys()
    for domain in (one, two):
        uid = domain.metadata.uid
        name = names.daemonset_name(domain.metadata.name, uid)
        assert found[name]["spec"] == of(uid)
        assert found[name]["metadata"]["labels"] == {names.DOMAIN_LABEL: uid}
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": name, "uid": sets[name]}
        assert found[name]["metadata"]["ownerReferences"] == [owner]


@virtually
async def test_it_is_there_before_any_node_joins(controlling):
    """It costs one write, when the domain is provisioned, and none for nodes that come and go."""
    little, _, domain = await a_provisioned_domain(controlling)
    assert asked(little)["create"] == 1
    before = little.store.counters.snapshot()
    await little.node("node-1")
    await little.up(["node-1"], domain.metadata.uid)
    await asyncio.sleep(3600)
    assert asked(little, before).keys() <= {"list", "watch"}


def all_namespaces(spec):
    """One key beside the selector of pods."""
    first, *rest = spec["ingress"]
    return {"ingress": [{**first, "from": [{**first["from"][0], "namespaceSelector": {}}]}, *rest]}


@pytest.mark.parametrize("drift", [
    lambda _: {"podSelector": {"matchLabels": {"more": "narrow"}}},
    lambda _: {"ingress": [{}]},
    lambda _: {"ingress": None},
    lambda _: {"policyTypes": ["Ingress", "Egress"]},
    all_namespaces,
], ids=["a narrower choice", "anybody", "nobody", "nothing goes out", "all namespaces"])  # fmt: skip
@virtually
async def test_what_somebody_changed_is_put_right(controlling, drift):
    """Wider or narrower; one key too many counts. Names of others and notes stay; then nothing more is written."""
    little, _, domain = await a_provisioned_domain(controlling)
    name = names.daemonset_name(GUIDE, domain.metadata.uid)
    noted = {"annotations": {"note": "mine"}, "labels": {"team": "a"}}
    await little.hands.patch(RAW_POLICIES, name, {"metadata": noted, "spec": drift(of(domain.metadata.uid))}, OWN)
    await asyncio.sleep(2)
    (after,) = await little.policies()
    assert after["spec"] == of(domain.metadata.uid)
    assert after["metadata"]["annotations"] == {"note": "mine"}
    assert after["metadata"]["labels"] == {"team": "a", names.DOMAIN_LABEL: domain.metadata.uid}
    before = little.store.counters.snapshot()
    await asyncio.sleep(3600)
    assert asked(little, before).keys() <= {"list", "watch"}


@virtually
async def test_rules_for_what_goes_out_have_no_effect_and_start_no_quarrel(controlling):
    """They are somebody else's field, and without their type they mean nothing."""
    little, _, domain = await a_provisioned_domain(controlling)
    name = names.daemonset_name(GUIDE, domain.metadata.uid)
    before = little.store.counters.snapshot()
    await little.hands.patch(RAW_POLICIES, name, {"spec": {"egress": [{}]}}, OWN)
    await asyncio.sleep(3600)
    (after,) = await little.policies()
    assert after["spec"]["policyTypes"] == ["Ingress"]
    assert asked(little, before).keys() <= {"list", "watch"}


@pytest.mark.parametrize("label", [None, "another"])
@virtually
async def test_one_that_lost_its_label_is_found_again(controlling, label):
    """It is watched by that label; whoever takes it off hides it, but for its name."""
    little, _, domain = await a_provisioned_domain(controlling)
    name = names.daemonset_name(GUIDE, domain.metadata.uid)
    (before,) = await little.policies()
    await little.hands.patch(RAW_POLICIES, name, {"metadata": {"labels": {names.DOMAIN_LABEL: label}}}, OWN)
    await asyncio.sleep(3)
    (after,) = await little.policies()
    assert after["metadata"]["labels"] == {names.DOMAIN_LABEL: domain.metadata.uid}
    assert after["spec"] == before["spec"]


@virtually
async def test_one_that_was_deleted_comes_back(controlling):
    """Within seconds, under its name."""
    little, _, domain = await a_provisioned_domain(controlling)
    (before,) = await little.policies()
    await little.hands.delete(NETWORK_POLICIES, names.daemonset_name(GUIDE, domain.metadata.uid), OWN)
    await asyncio.sleep(2)
    (after,) = await little.policies()
    assert after["spec"] == before["spec"]
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


@virtually
async def test_a_new_daemonset_owns_it(controlling):
    """Its DaemonSet was deleted by hand, and the garbage collector left it or took it: the new one owns it."""
    little, _, domain = await a_provisioned_domain(controlling)
    name = names.daemonset_name(GUIDE, domain.metadata.uid)
    await little.hands.patch(RAW_POLICIES, name, {"metadata": {"ownerReferences": None}}, OWN)
    await asyncio.sleep(2)
    for _ in range(2):
        await little.hands.delete(kinds.DAEMON_SETS, name, OWN)
        await asyncio.sleep(3)
        (daemon_set,), (policy,) = await little.daemon_sets(), await little.policies()
        assert [o["uid"] for o in policy["metadata"]["ownerReferences"]] == [daemon_set["metadata"]["uid"]]


@virtually
async def test_a_release_that_does_not_know_it_leaves_none_behind(controlling):
    """After a rollback nobody orders it gone: it goes with the DaemonSet that owns it."""
    little, run, domain = await a_provisioned_domain(controlling)
    await run.stop()
    await little.hands.delete(RAW_DAEMON_SETS, names.daemonset_name(GUIDE, domain.metadata.uid), OWN)
    assert await little.policies() == []


@virtually
async def test_a_domain_of_an_older_release_gets_one(controlling):
    """An upgrade finds everything but the policy, and makes it; daemons are left alone."""
    little, run, domain = await a_provisioned_domain(controlling, network_policy=False)
    await run.stop()
    (before,) = await little.daemon_sets()
    controlling(little)
    await asyncio.sleep(3)
    assert [p["spec"] for p in await little.policies()] == [of(domain.metadata.uid)]
    assert await little.daemon_sets() == [before]


@virtually
async def test_where_none_is_wanted_nobody_asks_for_any(controlling):
    """Neither reads nor writes, from the first to the last: no right is needed; and the domain lives as ever."""
    little, _, domain = await a_provisioned_domain(controlling, network_policy=False)
    assert (await little.seen(domain)).status.status == "Ready"
    await little.delete(domain)
    await asyncio.sleep(5)
    assert await little.seen(domain) is None
    assert asked(little) == {}


@virtually
async def test_switched_off_later_it_goes_with_its_domain(controlling):
    """Nobody has the right to delete it any more, and nobody needs it."""
    little, run, domain = await a_provisioned_domain(controlling)
    await run.stop()
    controlling(little, network_policy=False)
    await asyncio.sleep(3)
    assert len(await little.policies()) == 1
    await little.delete(domain)
    await asyncio.sleep(5)
    assert await little.seen(domain) is None
    assert await little.policies() == []


@virtually
async def test_the_finalizer_waits_for_it(controlling):
    """Somebody else holds it: the domain is not let go, and says what is in the way."""
    little, _, domain = await a_provisioned_domain(controlling)
    name = names.daemonset_name(GUIDE, domain.metadata.uid)
    await little.hands.patch(RAW_POLICIES, name, {"metadata": {"finalizers": ["somebody.else/holds"]}}, OWN)
    await little.delete(domain)
    await asyncio.sleep(10)
    assert f"NetworkPolicy {OWN}/{name} still there" in (await little.seen(domain)).condition("Ready").message
    await little.hands.patch(RAW_POLICIES, name, {"metadata": {"finalizers": None}}, OWN)
    await asyncio.sleep(3)
    assert await little.seen(domain) is None


class Overlooking(Unreliable):
    """Its watches never tell of what is called `stray`."""

    async def watch(self, kind, version, namespace="", *, labels="", fields=""):
        async for event in super().watch(kind, version, namespace, labels=labels, fields=fields):
            if event.object.metadata.name != "stray":
                yield event


@virtually
async def test_it_is_looked_for_live_before_the_finalizer_goes(controlling):
    """A view without the policy does not let the domain go while there is one."""
    little = await Little.started()
    controlling(little, cluster=Overlooking(little.client("controller")))
    domain = await little.domain()
    await asyncio.sleep(2)
    stray = {"metadata": {"name": "stray", "labels": {names.DOMAIN_LABEL: domain.metadata.uid}}}
    await little.hands.create(RAW_POLICIES, {**stray, "spec": of(domain.metadata.uid)}, OWN)
    await little.delete(domain)
    await asyncio.sleep(10)
    assert f"NetworkPolicy {OWN}/stray is still there" in (await little.seen(domain)).condition("Ready").message
    await little.hands.delete(NETWORK_POLICIES, "stray", OWN)
    await asyncio.sleep(5)
    assert await little.seen(domain) is None


@virtually
async def test_where_it_cannot_be_made_the_domain_serves_and_says_so(controlling):
    """Workers are not held back for it: a condition names what is missing, and it is tried again."""
    little = await Little.started()
    broken = {("create", "networkpolicies")}
    cluster = Unreliable(little.client("controller"), lambda *call: "before" if call in broken else "")
    controlling(little, cluster=cluster)
    domain = await little.domain()
    await asyncio.sleep(5)
    seen = await little.seen(domain)
    assert seen.status.status == "Ready"
    assert "networkpolicies" in seen.condition("Ready").message
    broken.clear()
    await asyncio.sleep(60)
    assert len(await little.policies()) == 1
