"""Lists and watches: selectors, pages, versions, and what a watcher is told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.sim.apiserver import selectors
from nvdra.sim.apiserver.requests import Deletion, Paging
from nvdra.sim.apiserver.store import ObjectStore


def told(watcher):
    return [(event.type, event.entry.meta["name"]) for event in watcher.take()]


def selecting(world, path, labels="", fields=""):
    ref = world.ref(path)
    return ref, selectors.parse(ref.resource, labels, fields)


def test_pages_are_one_snapshot(world):
    """What is written between two pages is seen by neither."""
    for name in "abcde":
        world.create("configmaps", name)
    ref = world.ref("configmaps")
    first = world.store.list(ref, paging=Paging(limit=2))
    world.store.delete(world.ref("configmaps", "d"))
    world.create("configmaps", "cc")
    second = world.store.list(ref, paging=Paging(limit=2, token=first.token))
    third = world.store.list(ref, paging=Paging(limit=2, token=second.token))
    names = [[entry.meta["name"] for entry in page.entries] for page in (first, second, third)]
    assert names == [["a", "b"], ["c", "d"], ["e"]]
    assert (first.remaining, first.version, third.version, third.token) == (3, first.version, first.version, "")


def test_a_page_that_is_too_old(world_with, refused):
    """When the history does not reach back, the answer is 410."""
    world = world_with(history=2)
    for name in "abc":
        world.create("configmaps", name)
    page = world.store.list(world.ref("configmaps"), paging=Paging(limit=1))
    for number in range(4):
        world.patch("configmaps", "a", {"data": {"n": str(number)}})
    with refused(410, "Expired"):
        world.store.list(world.ref("configmaps"), paging=Paging(limit=1, token=page.token))


def test_lists_as_of_a_version(world, refused):
    """Exact gives the past; a version of the future is refused."""
    world.create("configmaps", "a")
    then = str(world.store.version)
    world.create("configmaps", "b")
    ref = world.ref("configmaps")
    assert len(world.store.list(ref, paging=Paging(version=then, match="Exact")).entries) == 1
    assert len(world.store.list(ref, paging=Paging(version=then)).entries) == 2
    with refused(504, "Timeout"):
        world.store.list(ref, paging=Paging(version="99999"))


def test_a_watch_from_a_version_tells_what_came_since(world):
    """Everything after it, in order, once; then what comes."""
    world.create("configmaps", "a")
    watcher = world.store.watch(world.ref("configmaps"), version=str(world.store.version))
    world.create("configmaps", "b")
    world.patch("configmaps", "a", {"data": {"k": "v"}})
    world.store.delete(world.ref("configmaps", "b"))
    assert told(watcher) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    late = world.store.watch(world.ref("configmaps"), version=str(world.store.version - 1))
    assert told(late) == [("DELETED", "b")]


def test_a_watch_without_version_begins_with_what_there_is(world):
    """Version "" and "0" both do."""
    world.create("configmaps", "a")
    for version in ("", "0"):
        assert told(world.store.watch(world.ref("configmaps"), version=version)) == [("ADDED", "a")]


def test_a_watch_from_a_forgotten_version(world_with, refused):
    """410, so that the client lists again."""
    world = world_with(history=3)
    world.create("configmaps", "a")
    old = str(world.store.version)
    for number in range(5):
        world.patch("configmaps", "a", {"data": {"n": str(number)}})
    with refused(410, "Expired"):
        world.store.watch(world.ref("configmaps"), version=old)


def test_leaving_a_selection_is_a_deletion(world):
    """An object that stops to match is DELETED for that watcher, at the new version; one that begins is ADDED."""
    ref, selector = selecting(world, "configmaps", labels="l=1")
    watcher = world.store.watch(ref, selector, str(world.store.version))
    world.create("configmaps", "a")
    world.patch("configmaps", "a", {"metadata": {"labels": {"l": "1"}}})
    world.patch("configmaps", "a", {"data": {"k": "v"}})
    world.patch("configmaps", "a", {"metadata": {"labels": {"l": "2"}}})
    world.store.delete(world.ref("configmaps", "a"))
    events = watcher.take()
    assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert (events[2].entry.meta["labels"], events[2].entry.meta["resourceVersion"]) == (
        {"l": "1"},
        str(events[2].entry.version),
    )


def test_watchers_of_a_node_and_of_a_name(world, pod_spec):
    """Selectors on spec.nodeName and metadata.name see exactly theirs."""
    start = str(world.store.version)
    by_node = world.store.watch(*selecting(world, "pods", fields="spec.nodeName=n1"), start)
    by_name = world.store.watch(*selecting(world, "pods", fields="metadata.name=b"), start)
    world.create("pods", "a", spec=pod_spec("n1"))
    world.create("pods", "b", spec=pod_spec())
    world.patch("pods", "b", {"spec": {"nodeName": "n1"}})
    world.store.delete(world.ref("pods", "a"), Deletion(grace=0))
    assert told(by_node) == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    assert told(by_name) == [("ADDED", "b"), ("MODIFIED", "b")]


def test_namespaces_are_apart(world):
    """A list or watch of one namespace sees no other; one of all sees all."""
    world.create("configmaps", "a")
    elsewhere = world.store.ref("", "v1", "configmaps", "kube-system")
    everywhere = world.store.ref("", "v1", "configmaps")
    watcher = world.store.watch(elsewhere, version=str(world.store.version))
    world.store.create(elsewhere, {"metadata": {"name": "b"}})
    world.create("configmaps", "c")
    assert told(watcher) == [("ADDED", "b")]
    assert [entry.key for entry in world.store.list(everywhere).entries] == [
        ("default", "a"),
        ("default", "c"),
        ("kube-system", "b"),
    ]


async def test_a_slow_watcher_is_cut_off(world, monkeypatch):
    """Rather than kept for ever."""
    monkeypatch.setattr("nvdra.sim.apiserver.watching.MAX_BACKLOG", 3)
    watcher = world.store.watch(world.ref("configmaps"), version=str(world.store.version))
    for number in range(5):
        world.create("configmaps", f"a{number}")
    assert watcher.closed
    assert await watcher.wait(0)


@pytest.mark.parametrize("fields", ["spec.unknown=1", "nonsense"])
def test_unknown_fields_are_refused(world, refused, fields):
    """400, as the real server says it."""
    with refused(400, "BadRequest"):
        selecting(world, "pods", fields=fields)


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from("abc"), st.sampled_from(["1", "2"])), max_size=20
)


@settings(max_examples=60, deadline=None)
@given(STEPS, STEPS, st.sampled_from(["", "l=1", "l!=1"]))
def test_a_watch_leads_from_one_list_to_the_next(before, after, labels):
    """Whatever happens: the old list plus the events since is the new list, for every selection."""
    store = ObjectStore()
    ref = store.ref("", "v1", "configmaps", "default")
    selector = selectors.parse(ref.resource, labels)

    def happen(steps):
        for verb, name, value in steps:
            one = ref.at(name)
            if one.key not in store.collection(ref).entries:
                store.create(ref, {"metadata": {"name": name, "labels": {"l": value}}})
            elif verb == "put":
                store.patch(one, "merge", {"metadata": {"labels": {"l": value}}})
            else:
                store.delete(one)

    happen(before)
    page = store.list(ref, selector)
    cache = {entry.key: entry.object for entry in page.entries}
    happen(after)
    for event in store.watch(ref, selector, str(page.version)).take():
        if event.type == "DELETED":
            del cache[event.entry.key]
        else:
            assert (event.type == "ADDED") == (event.entry.key not in cache)
            cache[event.entry.key] = event.entry.object
    assert cache == {entry.key: entry.object for entry in store.list(ref, selector).entries}


def test_one_encoding_is_shared(world):
    """All who watch get the same bytes."""
    entry = world.store.create(world.ref("configmaps"), {"metadata": {"name": "a"}})
    assert entry.wire() is entry.wire()


def test_many_watchers(world):
    """Three hundred of them, each hears of its own object alone."""
    start = str(world.store.version)
    ref = world.store.ref("", "v1", "configmaps", "default")
    watchers = [
        world.store.watch(ref, selectors.parse(ref.resource, fields=f"metadata.name=m{number}"), start)
        for number in range(300)
    ]
    for number in range(300):
        world.store.create(ref, {"metadata": {"name": f"m{number}"}})
    assert {len(watcher.take()) for watcher in watchers} == {1}


def test_a_store_is_enough():
    """No loop and no server is needed to use the semantics."""
    store = ObjectStore()
    assert len(store.list(store.ref("", "v1", "namespaces")).entries) == 4
