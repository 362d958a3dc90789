"""The store never goes back in time, keeps its indices, and wakes whoever is concerned."""

import pytest
from attrs import frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nvdra.api.kind import Local
from nvdra.api.kinds import NODES, PODS
from nvdra.api.meta import Meta
from nvdra.api.objects import Node
from nvdra.engine import store as stores
from nvdra.engine.queue import Key
from nvdra.engine.store import Store
from nvdra.errors import NotYet


@frozen
class Probe:
    path: str
    reading: int = 0


PROBES = Local(Probe, "probes")


def a_node(name="a", version=1, uid="u1", **labels):
    return Node(Meta(name=name, uid=uid, resourceVersion=str(version), labels=labels))


@pytest.fixture
def woken():
    return []


@pytest.fixture
def store(woken):
    store = Store(woken.append)
    store.index(NODES, "rack", lambda node: node.metadata.labels.values())
    store.concern(NODES, lambda node: [Key("rack", value) for value in node.metadata.labels.values()])
    return store


def test_what_was_put_is_there(store):
    """By its path, in the list of all, and by each index value."""
    node = a_node(rack="r1")
    store.put(NODES, node)
    assert store.get(NODES, "a") is node
    assert store.all(NODES) == store.find(NODES, "rack", "r1") == (node,)
    assert store.values(NODES, "rack") == ("r1",)
    assert store.get(NODES, "b") is None
    assert store.find(NODES, "rack", "r2") == ()


def test_an_older_version_is_ignored(store, woken):
    """A watch that lags behind our own writes does not take them back, and wakes nobody."""
    store.put(NODES, a_node(version=10, rack="r2"))
    del woken[:]
    store.put(NODES, a_node(version=9, rack="r1"))
    store.put(NODES, a_node(version=10, rack="r2"))
    assert store.get(NODES, "a").metadata.resourceVersion == "10"
    assert store.find(NODES, "rack", "r1") == ()
    assert woken == []


def test_the_next_of_the_same_name_is_another(store):
    """An object made anew under the same name has another uid, whatever its version."""
    store.put(NODES, a_node(version=10, uid="u1", rack="r1"))
    store.put(NODES, a_node(version=3, uid="u2", rack="r2"))
    assert store.get(NODES, "a").metadata.uid == "u2"
    assert store.values(NODES, "rack") == ("r2",)


def test_a_late_farewell_does_not_take_the_next(store):
    """The deletion of an object is not the deletion of its successor."""
    store.put(NODES, a_node(version=10, uid="u2"))
    store.drop(NODES, a_node(version=9, uid="u1"))
    assert store.get(NODES, "a").metadata.uid == "u2"
    store.drop(NODES, a_node(version=11, uid="u2"))
    assert store.get(NODES, "a") is None


def test_old_and_new_concern_are_woken(store, woken):
    """Who lost an object must look as well as who got it; each is told once."""
    store.put(NODES, a_node(version=1, rack="r1"))
    store.put(NODES, a_node(version=2, rack="r2", spare="r1"))
    store.drop(NODES, a_node(version=3))
    assert woken == [Key("rack", "r1"), Key("rack", "r1"), Key("rack", "r2"), Key("rack", "r1"), Key("rack", "r2")]


def test_an_answer_that_is_slower_than_the_watch(store):
    """What a request of ours gave back does not bring back what the watch has seen going, nor an older state."""
    store.put(NODES, a_node(version=5))
    store.drop(NODES, a_node(version=7))
    store.learn(NODES, a_node(version=6))
    assert store.get(NODES, "a") is None
    store.put(NODES, a_node(version=9, uid="u2"))
    store.learn(NODES, a_node(version=8, uid="u1"))
    assert store.get(NODES, "a").metadata.uid == "u2"
    store.learn(NODES, a_node(version=12, uid="u2"))
    assert store.get(NODES, "a").metadata.resourceVersion == "12"


def test_a_label_that_went_may_come_back(store):
    """For a watch by label an object is gone when its label is; the same object may come again later."""
    store.put(NODES, a_node(version=5, rack="r"))
    store.drop(NODES, a_node(version=6))
    store.learn(NODES, a_node(version=7, rack="r"))
    assert store.get(NODES, "a").metadata.resourceVersion == "7"


def test_memory_of_what_is_gone_is_bounded(store, monkeypatch):
    """A cluster in which much comes and goes does not fill our memory."""
    monkeypatch.setattr(stores, "REMEMBERED", 10)
    for number in range(50):
        store.drop(NODES, a_node(version=number + 1, uid=f"u{number}"))
    assert len(store._shelf(NODES).gone) == 10  # the bound has no other face


def test_unlisted_kinds_are_not_guessed_at(store):
    """Until every kind has been listed whole, there is no view to decide on."""
    with pytest.raises(NotYet, match="not listed yet: nodes, pods"):
        store.require(NODES, PODS)
    store.synced(NODES)
    with pytest.raises(NotYet, match="not listed yet: pods"):
        store.require(NODES, PODS)
    store.synced(PODS)
    store.require(NODES, PODS)


def test_the_first_list_wakes_all_that_it_concerns(store, woken):
    """When a kind is in, everybody concerned looks; and so do those who could not look before."""
    store.put(NODES, a_node(rack="r1"))
    del woken[:]
    store.synced(NODES)
    assert woken == [Key("rack", "r1")]
    store.impatient.update({Key("rack", "r7"), Key("rack", "r6")})
    store.synced(PODS)
    assert woken[1:] == [Key("rack", "r6"), Key("rack", "r7")]
    assert store.impatient == set()


def test_things_of_this_node_have_no_versions(store):
    """A probe's reading is what it is: the last one counts."""
    store.put(PROBES, Probe("gpu", 2))
    store.learn(PROBES, Probe("gpu", 1))
    assert store.get(PROBES, "gpu") == Probe("gpu", 1)
    store.drop(PROBES, Probe("gpu"))
    assert store.all(PROBES) == ()
    store.learn(PROBES, Probe("gpu", 3))
    assert store.all(PROBES) == (Probe("gpu", 3),)


def test_an_index_is_declared_once(store):
    """Two domains may want the same index."""
    store.put(NODES, a_node(rack="r1"))
    store.index(NODES, "rack", lambda _: ["never asked"])
    assert store.values(NODES, "rack") == ("r1",)


class StoreMachine(RuleBasedStateMachine):
    """A cluster of few names whose watch lags, repeats and is mixed with answers to our own requests."""

    names = st.sampled_from("ab")

    def __init__(self):
        super().__init__()
        self.version = 0
        self.truth: dict[str, Node] = {}
        self.history: list[tuple[str, Node]] = []
        self.told = 0
        self.store = Store(lambda _: None)
        self.store.index(NODES, "rack", lambda node: node.metadata.labels.values())

    @rule(name=names, rack=st.sampled_from(["r1", "r2"]))
    def write(self, name, rack):
        self.version += 1
        old = self.truth.get(name)
        uid = old.metadata.uid if old else f"{name}{self.version}"
        self.truth[name] = a_node(name, self.version, uid, rack=rack)
        self.history.append(("put", self.truth[name]))

    @rule(name=names)
    def delete(self, name):
        if name in self.truth:
            self.version += 1
            gone = self.truth.pop(name)
            last = a_node(name, self.version, gone.metadata.uid, **gone.metadata.labels)
            self.history.append(("drop", last))

    @rule(number=st.integers(1, 3))
    def the_watch_goes_on(self, number):
        for what, node in self.history[self.told : self.told + number]:
            getattr(self.store, what)(NODES, node)
        self.told = min(len(self.history), self.told + number)

    @rule(data=st.data())
    def an_answer_arrives(self, data):
        """To a request of ours, at any time after it was carried out."""
        ours = [node for what, node in self.history if what == "put"]
        if ours:
            self.store.learn(NODES, data.draw(st.sampled_from(ours)))

    @invariant()
    def indices_follow(self):
        held = self.store.all(NODES)
        for value in ("r1", "r2"):
            expected = {node.metadata.name for node in held if value in node.metadata.labels.values()}
            assert {node.metadata.name for node in self.store.find(NODES, "rack", value)} == expected
        assert set(self.store.values(NODES, "rack")) == {node.metadata.labels["rack"] for node in held}

    @invariant()
    def nothing_older_than_the_watch(self):
        """Neither an older version nor a ghost, of what the watch has told."""
        told: dict[str, Node | None] = {}
        for what, node in self.history[: self.told]:
            told[node.metadata.name] = node if what == "put" else None
        for name, node in told.items():
            held = self.store.get(NODES, name)
            if node is not None:
                assert held is None or int(held.metadata.resourceVersion) >= int(node.metadata.resourceVersion)
        if self.told == len(self.history):
            held = {node.metadata.name: node for node in self.store.all(NODES)}
            assert held == self.truth


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=150, stateful_step_count=30)
