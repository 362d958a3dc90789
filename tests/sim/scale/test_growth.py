"""What does not grow: the work for one more event, with the number of domains; and the work for many, with the nodes."""

import asyncio
from collections import Counter

import pytest

from nvdra.api import kinds, names
from nvdra.api.computedomain import ComputeDomain, ComputeDomainSpec, ComputeDomainStatus, Roster
from nvdra.api.membership import member_of
from nvdra.api.meta import Meta
from nvdra.api.objects import Node, Pod, PodSpec
from nvdra.apps.controller import Controller
from nvdra.domains.compute_domain import snapshot as compute_domain
from nvdra.domains.imex_domain import snapshot as imex_domain
from nvdra.domains.imex_domain.pace import TALKING, pace_of_talk
from nvdra.domains.imex_domain.snapshot import ImexDomainSnapshot
from nvdra.engine.queue import Key, Queue
from nvdra.engine.store import Store
from nvdra.sim import manifests
from tests.builders import Little
from tests.virtual_time import clock, virtually, wall

UID = "uid-1"
CLIQUE = "cluster.1"


class Counted(Queue):
    """A queue that keeps the keys that it has given to be looked at."""

    def __init__(self):
        super().__init__(clock)
        self.looks, self.at = [], []

    def watch(self, engine):
        engine.queue, engine.store.wake = self, self.add

    async def get(self):
        self.looks.append(await super().get())
        self.at.append(clock())
        return self.looks[-1]


async def _one_more_event(domains):
    """Looks and requests for an annotation on one of so many."""
    little, queue = await Little.started(), Counted()
    controller = Controller(little.client("controller"), wall=wall, watch_engine=queue.watch)
    task = asyncio.create_task(controller.run())
    made = [await little.domain(name=f"domain-{number}") for number in range(domains)]
    await asyncio.sleep(120)
    counts = little.store.counters.snapshot()
    queue.looks.clear()
    patch = {"metadata": {"annotations": {"a": "b"}}}
    await little.hands.patch(kinds.COMPUTE_DOMAINS, made[0].metadata.name, patch, made[0].metadata.namespace)
    await asyncio.sleep(10)
    asked = (little.store.counters.snapshot() - counts).total(agent="controller")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return len(queue.looks), asked


@virtually
async def test_one_more_event_costs_the_same_whatever_the_number_of_domains():
    """Among 2 or among 60: one look, no request."""
    assert await _one_more_event(2) == await _one_more_event(60) == (1, 0)


@virtually
async def test_what_was_first_seen_together_is_not_looked_at_again_together():
    """60 domains of one second: within ten minutes each is looked at once more, and never a fifth of them in a second."""
    little, queue = await Little.started(), Counted()
    for number in range(60):
        await little.domain(name=f"domain-{number}")
    controller = Controller(little.client("controller"), wall=wall, watch_engine=queue.watch)
    task = asyncio.create_task(controller.run())
    await asyncio.sleep(30)
    queue.looks.clear()
    queue.at.clear()
    await asyncio.sleep(600)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(set(queue.looks)) == 60
    assert max(Counter(int(at) for at in queue.at).values()) < 12


def a_store(nodes):
    store = Store(lambda _: None)
    compute_domain.declare(store)
    imex_domain.declare(store)
    store.put(kinds.COMPUTE_DOMAINS, ComputeDomain(Meta("d", "default", UID, "1"), ComputeDomainSpec(nodes)))
    for number in range(nodes):
        store.put(kinds.NODES, a_node(number))
        meta = Meta(f"p-{number}", names.DRIVER_NAMESPACE, f"p-{number}", "1", labels={names.DOMAIN_LABEL: UID})
        store.put(kinds.PODS, Pod(meta, PodSpec(f"node-{number}")))
    for kind in compute_domain.WATCHED:
        store.synced(kind)
    return store


def a_node(number, version="1", claim="c"):
    labels = {names.DOMAIN_LABEL: UID, names.CLIQUE_LABEL: CLIQUE, names.JOIN_LABEL: claim}
    return Node(Meta(f"node-{number}", uid=f"n-{number}", resourceVersion=version, labels=labels))


@pytest.fixture
def read(monkeypatch):
    """The nodes whose standing was read."""
    found = []

    def counted(node, published, pods):
        found.append(node.metadata.name)
        return member_of(node, published, pods)

    monkeypatch.setattr(compute_domain, "member_of", counted)
    return found


def test_how_a_node_stands_is_read_again_only_when_it_changed(read):
    """Of 50 nodes one changes: the next look reads that one, and sees what a look of somebody new sees."""
    store, view, key = a_store(50), compute_domain.View(), Key("compute-domain", UID)
    view.observe(store, key, 0.0)
    assert len(read) == 50
    read.clear()
    store.put(kinds.NODES, a_node(7, "2", claim="another"))
    seen = view.observe(store, key, 1.0)
    assert read == ["node-7"]
    assert seen == compute_domain.View().observe(store, key, 1.0)


def test_a_pod_that_goes_is_seen(read):
    """A node whose pod has gone, or has another beside it, stands otherwise."""
    store, view, key = a_store(3), compute_domain.View(), Key("compute-domain", UID)
    view.observe(store, key, 0.0)
    read.clear()
    store.drop(kinds.PODS, store.get(kinds.PODS, f"{names.DRIVER_NAMESPACE}/p-1"))
    assert view.observe(store, key, 1.0).members[1].why == "has no IMEX daemon pod yet"
    assert read == ["node-1"]


def test_a_large_domain_rests_after_a_look():
    """A rack of 72 is looked at at once; thousands of nodes some times a second, less often while some are missing."""

    def rest(joined, wanted):
        seen = compute_domain.View().observe(a_store(joined), Key("compute-domain", UID), 0.0)
        domain = ComputeDomain(spec=ComputeDomainSpec(wanted))
        return compute_domain.rest(compute_domain.ComputeDomainSnapshot(UID, 0.0, domain, members=seen.members))

    assert rest(72, 72) == 0
    assert 0 < rest(600, 600) < rest(600, 601) < 0.2


@virtually
async def test_events_in_a_rest_are_one_look_at_its_end():
    """A thousand events in the rest of a key are one look, at the end of it; another key does not wait."""
    queue, began = Queue(clock), clock()
    large, small = Key("thing", "large"), Key("thing", "small")
    queue.add(large)
    assert await queue.get() == large
    queue.add(large)  # while it is worked
    queue.done(large, rest=2.0)
    for _ in range(1000):
        queue.add(large)
    queue.add(small)
    assert await queue.get() == small
    queue.done(small)
    assert (await queue.get(), clock() - began) == (large, 2.0)
    queue.done(large)
    queue.add(large)
    assert (await queue.get(), clock() - began) == (large, 2.0)


@virtually
async def test_what_was_put_off_and_settled_is_forgotten():
    """A key that is looked at often and put off for long each time does not fill the memory."""
    queue = Queue(clock)
    key = Key("thing", "a")
    for _ in range(5000):
        queue.add(key)
        assert await queue.get() == key
        queue.add_at(key, clock() + 600)
        queue.done(key)
    assert len(queue._heap) < 600  # the only place where it could be kept
    assert await queue.get() == key


def test_lists_with_an_entry_for_each_node_have_one_owner():
    """Of a list that is a map, the API server keeps the owner of each entry: bytes and CPU that grow with the nodes."""
    found = {}

    def walk(schema, path):
        if schema.get("type") == "array":
            found[path] = schema.get("x-kubernetes-list-type")
        for name, part in schema.get("properties", {}).items():
            walk(part, f"{path}.{name}")

    for crd in manifests.crds():
        walk(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], crd["spec"]["names"]["kind"])
    grow = ("ComputeDomain.status.nodes", "ComputeDomain.status.imexDomains", "ComputeDomainClique.daemons")
    assert [found[path] for path in grow] == ["atomic"] * 3


def test_the_more_rosters_the_less_often_each_tells_what_is_waited_for():
    """A rack hears it every three to six seconds; with hundreds of cliques all of them together are told ten a second."""

    def pace(cliques):
        domain = ComputeDomain(status=ComputeDomainStatus(imexDomainCount=cliques))
        return pace_of_talk(ImexDomainSnapshot(UID, CLIQUE, 0.0, domain), Roster())

    assert pace(1) == pace(7) == TALKING
    for cliques in (56, 280, 556):
        assert cliques / pace(cliques).quiet <= 10
        assert pace(cliques).limit > pace(cliques).quiet
