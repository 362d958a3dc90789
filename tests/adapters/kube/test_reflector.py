"""One kind, listed and followed: nothing missed, nothing run backwards, whatever becomes of watches and servers."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.adapters.kube.reflector import LAGGING_SECONDS, Reflector
from nvdra.api.kinds import NODES
from nvdra.engine.store import Store
from nvdra.ports import WatchEvent
from tests.adapters.kube.scripted import Sink, World, a_node, reflector, until


def test_list_then_follow(virtually):
    """The sink has the list, is told once that it is whole, and follows each change."""

    async def main(loop):
        world, sink = World(), Sink()
        world.put("a")
        world.put("b")
        kept = reflector(loop, world, sink)
        assert (kept.has_synced, kept.trouble) == (False, "not listed yet")
        task = asyncio.ensure_future(kept.run())
        await until(lambda: world.watches)
        assert (True, "", {"a", "b"}, 1) == (kept.has_synced, kept.trouble, set(sink.things), sink.syncs)
        world.put("a", x="y")
        world.delete("b")
        world.put("c")
        await until(lambda: "c" in sink.things)
        task.cancel()
        return sink.things == world.at(world.version), world.lists, sink.syncs

    assert virtually(main) == (True, 1, 1)


def test_a_broken_watch_goes_on_where_it_was(virtually):
    """A lost connection costs a watch, not a list."""

    async def main(loop):
        world, sink = World(["ok", "short", "fail", "short"]), Sink()
        task = asyncio.ensure_future(reflector(loop, world, sink).run())
        for name in "abc":
            await asyncio.sleep(5)
            world.put(name)
        await until(lambda: len(sink.things) == 3)
        task.cancel()
        return world.lists, world.watches

    assert virtually(main) == (1, 4)


def test_after_gone_what_vanished_is_dropped(virtually):
    """A deletion that happened while nobody watched is told after the relist."""

    async def main(loop):
        world, sink = World(["ok", "short", "gone"]), Sink()
        world.put("a")
        task = asyncio.ensure_future(reflector(loop, world, sink).run())
        await until(lambda: world.watches)
        world.put("b")
        world.delete("a")
        await until(lambda: world.lists == 2 and world.watches == 3)
        task.cancel()
        return set(sink.things), sink.drops, sink.syncs

    assert virtually(main) == ({"b"}, ["a"], 1)


def test_another_uid_is_another_object(virtually):
    """Deleted and made again under one name between two looks: the old one is dropped first."""

    async def main(loop):
        world, sink = World(["ok", "gone"]), Sink()
        world.put("a", uid="old")
        task = asyncio.ensure_future(reflector(loop, world, sink).run())
        await until(lambda: world.lists == 1)
        world.delete("a")
        world.put("a", uid="new")
        await until(lambda: world.lists == 2 and world.watches == 2)
        task.cancel()
        return sink.drops, sink.things["a"].metadata.uid

    assert virtually(main) == (["a"], "new")


def test_trouble_is_sayable(virtually):
    """A right that is missing is in `trouble` until it is given; the list comes within the longest pause."""

    async def main(loop):
        world, sink = World(["fail"] * 12), Sink()
        world.put("a")
        kept = reflector(loop, world, sink)
        task = asyncio.ensure_future(kept.run())
        await asyncio.sleep(60)
        said = kept.trouble, kept.has_synced
        lists = world.lists
        await until(lambda: kept.has_synced)
        await until(lambda: world.watches)
        task.cancel()
        return said, kept.trouble, lists < 12

    assert virtually(main) == (("403: 403 may not list", False), "", True)


def test_a_watch_that_is_never_granted_still_lists(virtually):
    """With `list` but not `watch`, the sink is brought up to date by lists, and the trouble stays said."""

    async def main(loop):
        world, sink = World(["ok", *["fail"] * 5, "ok", *["fail"] * 99]), Sink()
        kept = reflector(loop, world, sink)
        task = asyncio.ensure_future(kept.run())
        await until(lambda: world.watches)
        world.put("a")
        await until(lambda: "a" in sink.things)
        task.cancel()
        return kept.trouble

    assert virtually(main) == "no connection"


def test_a_server_from_the_past_is_not_believed_until_it_must_be(virtually):
    """A list older than what was seen is not adopted; after a minute of that it is the truth (a restored backup)."""

    async def main(loop):
        world, sink = World(["ok", *["fail"] * 5, *["stale"] * 999]), Sink()
        for name in "abcd":
            world.put(name)
        world.delete("d")
        kept = reflector(loop, world, sink)
        task = asyncio.ensure_future(kept.run())
        await until(lambda: "from the past" in kept.trouble)
        began, before = loop.time(), set(sink.things)
        await until(lambda: "c" in sink.drops)
        took = loop.time() - began
        await asyncio.sleep(60)
        task.cancel()
        return before, took >= LAGGING_SECONDS - 1, set(sink.things), kept.trouble

    assert virtually(main) == ({"a", "b", "c"}, True, {"a", "b", "c"}, "")


def test_a_server_that_hangs_up_at_once_is_not_dialled_in_a_loop(virtually):
    """Without progress the pauses grow."""

    async def main(loop):
        class HangsUp(World):
            async def watch(self, kind, version, namespace="", *, labels="", fields=""):
                self.watches += 1
                yield WatchEvent("BOOKMARK", a_node("", version))

        world = HangsUp()
        task = asyncio.ensure_future(reflector(loop, world, Sink()).run())
        await asyncio.sleep(300)
        task.cancel()
        return world.watches

    assert virtually(main) < 30


CHANGES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "put", "delete", "remake"]), st.floats(0, 3)), max_size=25
)
TRIPS = st.lists(st.sampled_from(["ok", "short", "fail", "gone", "replay", "stale"]), max_size=25)


@given(changes=CHANGES, trips=TRIPS)
@settings(max_examples=150, deadline=None)
def test_it_always_catches_up_and_never_runs_backwards(changes, trips, virtually_once):
    """Whatever lists and watches suffer, in the end the sink is the world, and nothing in it ever became older.

    Except after a Gone, when the server's word is all there is.
    """

    async def main(loop):
        world, sink, uids = World(trips), Sink(), iter(range(999))
        task = asyncio.ensure_future(reflector(loop, world, sink).run())
        for name, deed, pause in changes:
            await asyncio.sleep(pause)
            if deed != "put":
                world.delete(name)
            if deed != "delete":
                known = world.at(world.version).get(name)
                world.put(name, known.metadata.uid if known else f"u{next(uids)}")
        await asyncio.sleep(400)
        task.cancel()
        return sink.things, world.at(world.version), sink.backwards

    seen, there, backwards = virtually_once(main)
    assert seen == there
    if "gone" not in trips:
        assert backwards == []


async def test_what_was_learned_and_has_ended_unseen_is_dropped_by_a_list():
    """Made by us and gone before the watch told of it: a list that does not have it ends it; a newer one stays."""
    world, store = World(), Store(lambda _: None)
    world.put("a")
    store.learn(NODES, a_node("a", 101))
    world.delete("a")
    store.learn(NODES, a_node("b", 500))
    reflector = Reflector(world, NODES, store)
    reflector._adopt(await reflector._list())
    assert [node.metadata.name for node in store.all(NODES)] == ["b"]


async def test_a_list_of_one_object_says_nothing_of_others():
    """A node follows several rosters, each with a reflector of its own over one store."""
    world, store = World(), Store(lambda _: None)
    store.learn(NODES, a_node("other", 50))
    reflector = Reflector(world, NODES, store, fields="metadata.name=a")
    reflector._adopt(await reflector._list())
    assert [node.metadata.name for node in store.all(NODES)] == ["other"]
