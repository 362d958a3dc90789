"""The end of a domain: in order, whole, under load, by force, and never of a domain that lives."""

import asyncio
import random

from attrs import define, field

from nvdra.api import kinds, names
from nvdra.apps.controller import Controller
from tests.builders import CLIQUE, GUIDE, OWN, RAW_CLAIMS, RAW_TEMPLATES, Little
from tests.unreliable import Unreliable
from tests.virtual_time import until, virtually, wall


async def a_running_domain(little, nodes=2):
    domain = await little.domain()
    for number in range(nodes):
        await little.node(f"node-{number}")
    await little.up([f"node-{number}" for number in range(nodes)], domain.metadata.uid)
    await asyncio.sleep(5)
    return domain


@define(eq=False)
class Order:
    """When what went away, by the versions of the store."""

    little: Little
    gone: list = field(factory=list)

    def follow(self, *those):
        for kind in those:
            asyncio.get_running_loop().create_task(self._follow(kind))  # ends with the loop

    async def _follow(self, kind):
        async for event in self.little.hands.watch(kind, ""):
            if event.type == "DELETED":
                self.gone.append(f"{kind.kind} {event.object.metadata.namespace or event.object.metadata.name}")


@virtually
async def test_the_order_of_the_end(controlling):
    """First no new worker may claim, then daemons and labels go, then the roster, and our finalizer last."""
    little = await Little.started()
    controlling(little)
    domain = await a_running_domain(little)
    order = Order(little)
    order.follow(kinds.CLAIM_TEMPLATES, kinds.DAEMON_SETS, kinds.ROSTERS, kinds.COMPUTE_DOMAINS)
    await asyncio.sleep(0.1)
    await little.delete(domain)
    await asyncio.sleep(5)
    assert await little.seen(domain) is None
    assert await little.left_of(domain.metadata.uid) == []
    assert order.gone[0] == "ResourceClaimTemplate default"
    assert set(order.gone[1:3]) == {f"DaemonSet {OWN}", f"ResourceClaimTemplate {OWN}"}
    assert order.gone[3:] == [f"ComputeDomainClique {OWN}", "ComputeDomain default"]


@virtually
async def test_the_controller_forgets_what_ended():
    """No memory is left of a domain that is gone: no cell, no object, nothing held back."""
    little = await Little.started()
    run = Controller(Unreliable(little.client("controller")), wall=wall)
    asyncio.get_running_loop().create_task(run.run())
    domain = await a_running_domain(little)
    await little.delete(domain)
    await asyncio.sleep(10)
    assert run.engine.cells == {}
    assert run.engine.store.all(kinds.COMPUTE_DOMAINS) == ()
    assert run.engine.domains["compute-domain"].reporter.burst._held == {}  # nothing else shows a leak
    assert run.engine.domains["imex-domain"].things["roster"].burst._held == {}


@virtually
async def test_workers_that_lose_their_daemons_are_named(controlling):
    """Deletion under running workloads goes on, with a Warning that names them, on the domain and on each."""
    little = await Little.started()
    controlling(little)
    domain = await a_running_domain(little)
    uid = domain.metadata.uid
    for name in ("worker-b", "worker-a"):
        meta = {"name": f"claim-{name}", "labels": {names.DOMAIN_LABEL: uid}}
        spec = {"devices": {"requests": [{"name": "channel", "exactly": {"deviceClassName": names.CHANNEL_CLASS}}]}}
        await little.hands.create(RAW_CLAIMS, {"metadata": meta, "spec": spec}, "default")
        result = {"request": "channel", "driver": names.CD_DRIVER, "pool": "node-0", "device": "channel-0"}
        status = {
            "allocation": {"devices": {"results": [result]}},
            "reservedFor": [{"resource": "pods", "name": name, "uid": f"uid-{name}"}],
        }
        await little.hands.patch(RAW_CLAIMS, meta["name"], {"status": status}, "default", subresource="status")
    await little.delete(domain)
    await asyncio.sleep(3)
    assert await little.seen(domain) is None
    await asyncio.sleep(7)
    told = [e for e in await little.events() if e["reason"] == "ComputeDomainDeletedInUse"]
    about = {e["involvedObject"]["name"] for e in told}
    assert about == {domain.metadata.name, "worker-a", "worker-b"}
    assert {(e["type"], "worker-a, worker-b have lost their IMEX daemons" in e["message"]) for e in told} == {
        ("Warning", True)
    }
    assert await little.seen(domain) is None


@virtually
async def test_a_finalizer_torn_off_leaves_nothing_behind(controlling):
    """The object is gone by force; what it had is cleaned up all the same, also by a controller that never saw it."""
    little = await Little.started()
    first = controlling(little)
    one = await a_running_domain(little)
    await little.delete(one)
    await little.tear_off(one)
    await asyncio.sleep(5)
    assert (await little.seen(one), await little.left_of(one.metadata.uid)) == (None, [])
    await first.stop()
    two = await little.domain("two")
    third = controlling(little)
    await little.up(["node-0"], two.metadata.uid)
    await asyncio.sleep(5)
    await third.stop()
    await little.delete(two)
    await little.tear_off(two)
    assert len(await little.left_of(two.metadata.uid)) > 2
    controlling(little)
    await asyncio.sleep(5)
    assert (await little.seen(two), await little.left_of(two.metadata.uid)) == (None, [])


@virtually
async def test_the_finalizer_stays_while_anything_is_left():
    """However old our view: what the API server still has is asked for before the object is let go."""
    little = await Little.started()
    eyes = Unreliable(little.client("controller"))
    asyncio.get_running_loop().create_task(Controller(eyes, wall=wall).run())
    domain = await a_running_domain(little, nodes=1)
    eyes.blind.add("nodes")
    await little.leave("node-0")
    eyes.blind.discard("nodes")
    await asyncio.sleep(2)
    eyes.blind.add("nodes")
    await little.join("node-0", domain.metadata.uid)  # late, and not seen
    await little.delete(domain)
    await asyncio.sleep(20)
    assert await little.seen(domain) is not None
    assert await little.labelled(domain.metadata.uid) == ["node-0"]
    eyes.blind.clear()
    await asyncio.sleep(20)
    assert (await little.seen(domain), await little.left_of(domain.metadata.uid)) == (None, [])


@virtually
async def test_a_living_domain_that_we_do_not_see_is_not_stripped():
    """A view without the domain, with all that it has: the API server is asked whether it lives before anything goes."""
    little = await Little.started()
    eyes = Unreliable(little.client("controller"))
    controller = Controller(eyes, wall=wall)
    asyncio.get_running_loop().create_task(controller.run())
    domain = await a_running_domain(little)
    before = sorted(await little.left_of(domain.metadata.uid))
    counts = little.store.counters.snapshot()
    for _ in range(5):
        controller.engine.store.drop(kinds.COMPUTE_DOMAINS, await little.seen(domain))  # as if a watch had said so
        await asyncio.sleep(3)
    assert sorted(await little.left_of(domain.metadata.uid)) == before
    assert (little.store.counters.snapshot() - counts).total(agent="controller", verb="delete") == 0
    assert (await little.seen(domain)).status.status == "Ready"
    assert not (await little.rosters())[CLIQUE].metadata.deleting


@virtually
async def test_nothing_is_made_for_a_domain_that_has_ended():
    """Our view shows it alive: the API server is asked first, so there are no orphans, and nobody makes things in vain."""
    little = await Little.started()
    eyes = Unreliable(little.client("controller"))
    asyncio.get_running_loop().create_task(Controller(eyes, wall=wall).run())
    domain = await a_running_domain(little)
    eyes.blind.add("computedomains")
    await little.delete(domain)
    await little.tear_off(domain)
    for template in await little.templates():
        await little.hands.delete(kinds.CLAIM_TEMPLATES, template.metadata.name, template.metadata.namespace)
    for daemon_set in await little.daemon_sets():
        await little.hands.delete(kinds.DAEMON_SETS, daemon_set["metadata"]["name"], OWN)
    before = little.store.counters.snapshot()
    await asyncio.sleep(60)
    assert (little.store.counters.snapshot() - before).total(agent="controller", verb="create") == 0
    assert await little.left_of(domain.metadata.uid) == []
    eyes.blind.clear()
    await asyncio.sleep(10)
    assert await little.left_of(domain.metadata.uid) == []


@virtually
async def test_nothing_is_made_for_a_domain_that_ends():
    """It is being deleted and we do not see that yet: what is missing stays missing."""
    little = await Little.started()
    eyes = Unreliable(little.client("controller"))
    asyncio.get_running_loop().create_task(Controller(eyes, wall=wall).run())
    domain = await a_running_domain(little)
    eyes.blind.add("computedomains")
    await little.delete(domain)
    await little.hands.delete(kinds.CLAIM_TEMPLATES, f"{GUIDE}-channel", "default")
    before = little.store.counters.snapshot()
    await asyncio.sleep(10)
    assert (little.store.counters.snapshot() - before).total(agent="controller", verb="create") == 0
    eyes.blind.clear()
    await asyncio.sleep(10)
    assert (await little.seen(domain), await little.left_of(domain.metadata.uid)) == (None, [])


@virtually
async def test_a_node_of_another_domain_keeps_its_label(controlling):
    """Between our look and our write the node has gone to another domain: its label is not ours to take."""
    little = await Little.started()
    eyes = Unreliable(little.client("controller"))
    asyncio.get_running_loop().create_task(Controller(eyes, wall=wall).run())
    domain = await a_running_domain(little, nodes=1)
    another = await little.domain("another")
    eyes.blind.add("nodes")
    await little.join("node-0", another.metadata.uid)
    await little.delete(domain)
    await asyncio.sleep(5)
    eyes.blind.clear()
    await asyncio.sleep(10)
    assert await little.labelled(another.metadata.uid) == ["node-0"]
    assert await little.seen(domain) is None


@virtually
async def test_what_the_go_driver_made_is_taken_too(controlling):
    """Its objects carry its finalizer; they are let go with the domain."""
    little = await Little.started()
    run = controlling(little)
    domain = await a_running_domain(little, nodes=1)
    await run.stop()
    hold = {"metadata": {"finalizers": [names.FINALIZER]}}
    name = names.daemonset_name(GUIDE, domain.metadata.uid)
    await little.hands.patch(RAW_TEMPLATES, f"{GUIDE}-channel", hold, "default")
    await little.hands.patch(RAW_TEMPLATES, name, hold, OWN)
    await little.hands.patch(kinds.DAEMON_SETS, name, hold, OWN)
    controlling(little)
    await little.delete(domain)
    await asyncio.sleep(10)
    assert (await little.seen(domain), await little.left_of(domain.metadata.uid)) == (None, [])


@virtually
async def test_failures_on_the_way_delay_the_end_only():
    """Every call fails now and then, before or after it took effect: the domain ends, and nothing is left."""
    little = await Little.started()
    dice = random.Random(7)

    def fate(verb, plural):
        return dice.choices(["", "before", "after"], [80, 10, 10])[0]

    eyes = Unreliable(little.client("controller"), fate)
    asyncio.get_running_loop().create_task(Controller(eyes, wall=wall).run())
    domain = await little.domain(nodes=2)
    for name in ("node-1", "node-2"):
        await little.node(name)
    await little.up(["node-1", "node-2"], domain.metadata.uid)
    await asyncio.sleep(60)
    assert (await little.seen(domain)).status.status == "Ready"
    await little.delete(domain)
    await asyncio.sleep(120)
    assert (await little.seen(domain), await little.left_of(domain.metadata.uid)) == (None, [])


@virtually
async def test_what_cannot_be_drained_is_told(controlling):
    """A domain that does not end says after five minutes what it waits for."""
    little = await Little.started()
    controlling(little)
    domain = await a_running_domain(little, nodes=1)
    name = names.daemonset_name(GUIDE, domain.metadata.uid)
    await little.hands.patch(kinds.DAEMON_SETS, name, {"metadata": {"finalizers": ["somebody.else/holds"]}}, OWN)
    await little.delete(domain)
    await asyncio.sleep(320)
    (event,) = [e for e in await little.events() if e["reason"] == "DrainingSlow"]
    assert event["type"] == "Warning"
    assert f"DaemonSet {OWN}/{name}" in event["message"]
    await little.hands.patch(kinds.DAEMON_SETS, name, {"metadata": {"finalizers": None}}, OWN)
    gone = []

    async def ended():
        while await little.seen(domain) is not None:
            await asyncio.sleep(0.1)
        gone.append(True)

    task = asyncio.create_task(ended())
    await until(lambda: gone)
    await task
