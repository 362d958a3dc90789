"""What others do to our objects is put right; what is not ours is left alone and named."""

import asyncio

import pytest

from nvdra.api import kinds, names
from nvdra.domains.compute_domain.snapshot import ComputeDomainSnapshot
from tests.builders import GUIDE, OWN, RAW_DAEMON_SETS, RAW_TEMPLATES, Little
from tests.virtual_time import virtually


@virtually
async def test_a_daemonset_that_drifted_is_put_right(controlling):
    """Our fields come back as they were; what others added stays; then there is nothing more to write."""
    little = await Little.started()
    controlling(little)
    await little.domain()
    await asyncio.sleep(2)
    (before,) = await little.daemon_sets()
    name = before["metadata"]["name"]
    containers = [{**before["spec"]["template"]["spec"]["containers"][0], "image": "evil"}]
    drift = {
        "metadata": {"annotations": {"note": "mine"}},
        "spec": {"updateStrategy": {"type": "RollingUpdate"}, "template": {"spec": {"containers": containers}}},
    }
    await little.hands.patch(RAW_DAEMON_SETS, name, drift, OWN)
    await asyncio.sleep(2)
    (after,) = await little.daemon_sets()
    assert after["spec"]["updateStrategy"]["type"] == "OnDelete"
    assert after["spec"]["template"]["spec"]["containers"][0]["image"] == "nvdra"
    assert after["metadata"]["annotations"]["note"] == "mine"
    counts = little.store.counters.snapshot()
    await asyncio.sleep(3600)
    assert (little.store.counters.snapshot() - counts).total(agent="controller", verb="apply") == 0


@virtually
async def test_a_setting_that_was_taken_back_is_gone(controlling):
    """What a newer release or other values do not ask for any more is asked of no new daemon of an old domain either."""
    little = await Little.started()
    run = controlling(little, priority_class="high", image_pull_secrets=("a",))
    await little.domain()
    await asyncio.sleep(2)
    await run.stop()
    controlling(little, image="newer")
    await asyncio.sleep(5)
    (after,) = await little.daemon_sets()
    pod = after["spec"]["template"]["spec"]
    assert (pod["containers"][0]["image"], pod.keys() & {"priorityClassName", "imagePullSecrets"}) == ("newer", set())
    counts = little.store.counters.snapshot()
    await asyncio.sleep(3600)
    assert (little.store.counters.snapshot() - counts).total(agent="controller", resource="daemonsets") == 0


@virtually
async def test_an_amount_in_other_words_is_no_drift(controlling):
    """An API server writes 1000m as 1 and 1024Mi as 1Gi: what it stores is what was asked for, and is left as it is."""
    little = await Little.started()
    run = controlling(little, requests={"cpu": "1000m", "memory": "1024Mi"})
    domain = await little.domain()
    await asyncio.sleep(2)
    (before,) = await little.daemon_sets()
    pod = before["spec"]["template"]["spec"]
    stored = pod["containers"][0]
    stored = {**stored, "resources": {**stored["resources"], "requests": {"cpu": "1", "memory": "1Gi"}}}
    change = {"spec": {"template": {"spec": {"containers": [stored]}}}}
    await run.stop()
    await little.hands.patch(RAW_DAEMON_SETS, before["metadata"]["name"], change, OWN)
    controlling(little, agent="next", requests={"cpu": "1000m", "memory": "1024Mi"})
    await asyncio.sleep(5)
    assert little.store.counters.snapshot().total(agent="next", verb="apply") == 0
    assert (await little.seen(domain)).status.observedGeneration == 1


@virtually
async def test_what_is_deleted_by_hand_is_made_again(controlling):
    """DaemonSet, daemon template and workload template come back within seconds, under the same names."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain()
    await asyncio.sleep(2)
    before = sorted(await little.left_of(domain.metadata.uid))
    name = names.daemonset_name(GUIDE, domain.metadata.uid)
    await little.hands.delete(kinds.DAEMON_SETS, name, OWN)
    await little.hands.delete(kinds.CLAIM_TEMPLATES, name, OWN)
    await little.hands.delete(kinds.CLAIM_TEMPLATES, f"{GUIDE}-channel", "default")
    await asyncio.sleep(3)
    assert sorted(await little.left_of(domain.metadata.uid)) == before


@virtually
async def test_a_finalizer_that_was_taken_off_comes_back(controlling):
    """As long as the domain lives, so does our hold on it."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain()
    await asyncio.sleep(2)
    await little.tear_off(domain)
    await asyncio.sleep(2)
    assert (await little.seen(domain)).metadata.finalizers == (names.FINALIZER,)


@virtually
async def test_a_foreign_template_is_named_and_left_alone(controlling):
    """A condition and one Event say whose it is and what to do; nobody spins; when it goes, ours is made."""
    little = await Little.started()
    spec = {"spec": {"devices": {"requests": [{"name": "x", "exactly": {"deviceClassName": "y"}}]}}}
    foreign = {"metadata": {"name": "taken"}, "spec": spec}
    await little.hands.create(RAW_TEMPLATES, foreign, "default")
    controlling(little)
    domain = await little.domain(template="taken")
    await asyncio.sleep(2)
    now = await little.seen(domain)
    assert now.status.status == "NotReady"
    for type_ in ("Ready", "Provisioned"):
        assert (now.condition(type_).status, now.condition(type_).reason) == ("False", "ForeignClaimTemplate")
    assert "default/taken exists and was not made by this ComputeDomain" in now.condition("Ready").message
    before = little.store.counters.snapshot()
    await asyncio.sleep(300)
    asked = (little.store.counters.snapshot() - before).total(agent="controller")
    assert asked <= 3 * 11 + 4  # one try in 30 s: does the domain live, create, whose is it; and the Event of `after`
    events = [e for e in await little.events() if e["reason"] == "ForeignClaimTemplate"]
    assert [(e["type"], e["count"]) for e in events] == [("Warning", 1)]
    await little.hands.delete(kinds.CLAIM_TEMPLATES, "taken", "default")
    await asyncio.sleep(31)
    assert (await little.seen(domain)).status.status == "Ready"


@virtually
async def test_two_domains_that_want_one_name(controlling):
    """The second is told that the first has it."""
    little = await Little.started()
    controlling(little)
    one = await little.domain("one", template="shared")
    await asyncio.sleep(1)
    two = await little.domain("two", template="shared")
    await asyncio.sleep(3)
    said = (await little.seen(two)).condition("Provisioned")
    assert said.reason == "ForeignClaimTemplate"
    assert one.metadata.uid in said.message
    await little.delete(two)
    await asyncio.sleep(3)
    assert await little.seen(two) is None
    assert "default/shared" in {t.metadata.path for t in await little.templates()}


@virtually
async def test_a_name_that_becomes_free_is_taken_at_once(controlling):
    """A domain whose template's name was another's is served as soon as that one has gone, not half a minute later."""
    little = await Little.started()
    controlling(little)
    first = await little.domain("first", template="shared")
    await asyncio.sleep(2)
    second = await little.domain("second", template="shared")
    await asyncio.sleep(10)
    assert (await little.seen(second)).condition("Provisioned").reason == "ForeignClaimTemplate"
    await little.delete(first)
    await asyncio.sleep(4)
    assert (await little.seen(second)).condition("Provisioned").status == "True"


@pytest.mark.parametrize("owned", [True, False], ids=["with its owner", "without its owner"])
@virtually
async def test_a_copied_template_is_not_the_template(owned, controlling):
    """A copy under another name, labels and all, neither stands for the real one nor holds up the end."""
    little = await Little.started()
    controlling(little)
    domain = await little.domain()
    await asyncio.sleep(2)
    real = await little.hands.get(RAW_TEMPLATES, f"{GUIDE}-channel", "default")
    meta = {"name": "copy", "labels": real["metadata"]["labels"]}
    meta |= {"ownerReferences": real["metadata"]["ownerReferences"]} if owned else {}
    await little.hands.create(RAW_TEMPLATES, {"metadata": meta, "spec": real["spec"]}, "default")
    await little.hands.delete(kinds.CLAIM_TEMPLATES, f"{GUIDE}-channel", "default")
    await asyncio.sleep(3)
    assert {t.metadata.name for t in await little.templates("default")} == {"copy", f"{GUIDE}-channel"}
    await little.delete(domain)
    await asyncio.sleep(10)
    assert await little.seen(domain) is None
    assert {t.metadata.name for t in await little.templates("default")} == (set() if owned else {"copy"})


@virtually
async def test_a_new_image_does_not_end_running_daemons(controlling):
    """A changed pod template reaches a node only while it never served a channel: others keep their IMEX."""
    little = await Little.started()
    first = controlling(little)
    domain = await little.domain()
    for name in ("node-1", "node-2"):
        await little.node(name)
        await little.join(name, domain.metadata.uid)
    await asyncio.sleep(2)
    (daemon_set,) = await little.daemon_sets()
    hash_ = daemon_set["spec"]["template"]["metadata"]["annotations"]
    await little.daemon("node-1", domain.metadata.uid)
    await little.daemon("node-2", domain.metadata.uid, ready=False)
    for name in ("node-1", "node-2"):
        await little.hands.patch(kinds.PODS, f"daemon-{name}", {"metadata": {"annotations": hash_}}, OWN)
    await asyncio.sleep(8)
    await little.daemon("node-1", domain.metadata.uid, ready=False)
    await asyncio.sleep(8)
    await first.stop()
    controlling(little, image="newer")
    await asyncio.sleep(10)
    (daemon_set,) = await little.daemon_sets()
    assert daemon_set["spec"]["template"]["spec"]["containers"][0]["image"] == "newer"
    there = {pod.metadata.name for pod in await little.pods() if not pod.metadata.deleting}
    assert there == {"daemon-node-1"}


def test_a_domain_that_is_gone_wants_no_template():
    """Whatever is left of it."""
    assert ComputeDomainSnapshot("uid", 0.0).workload_template is None


@virtually
async def test_an_older_resource_api_is_spoken(controlling):
    """On a server that offers v1beta1 only, the templates are written in its words."""
    little = await Little.started()
    controlling(little, resource_version="v1beta1")
    domain = await little.domain()
    await asyncio.sleep(2)
    assert (await little.seen(domain)).status.status == "Ready"
    workload = await little.hands.get(RAW_TEMPLATES, f"{GUIDE}-channel", "default")
    assert workload["spec"]["spec"]["devices"]["requests"][0]["exactly"]["deviceClassName"] == names.CHANNEL_CLASS
    await little.delete(domain)
    await asyncio.sleep(3)
    assert await little.left_of(domain.metadata.uid) == []
