import asyncio

import pytest

from nvdra.adapters.kube.reflector import Reflector
from nvdra.api.kinds import NODES
from nvdra.api.meta import Meta
from nvdra.api.objects import Node
from nvdra.ports import Listing, WatchEvent


def a_node(name, version, uid="u"):
    return Node(Meta(name=name, uid=uid, resourceVersion=str(version)))


class Told:
    """A collection with one object at version 10, and a watch that tells prepared events."""

    def __init__(self, events):
        self.events = events

    async def list(self, kind, namespace="", *, labels="", fields=""):
        return Listing((a_node("a", 10),), "10")

    async def watch(self, kind, version, namespace="", *, labels="", fields=""):
        for sort, name, number, uid in self.events:
            yield WatchEvent(sort, a_node(name, number, uid))
        await asyncio.Event().wait()


class Sink:
    def __init__(self):
        self.things, self.story = {}, []

    def put(self, sort, thing):
        self.things[thing.metadata.name] = int(thing.metadata.resourceVersion)
        self.story.append(int(thing.metadata.resourceVersion))

    def drop(self, sort, thing):
        del self.things[thing.metadata.name]

    def all(self, sort):
        return ()

    def synced(self, sort):
        pass


@pytest.mark.parametrize(
    ("events", "there"),
    [
        ([("MODIFIED", "a", 12, "u"), ("MODIFIED", "a", 11, "u")], {"a": 12}),
        ([("DELETED", "a", 12, "u"), ("MODIFIED", "a", 11, "u")], {}),
        ([("DELETED", "a", 11, "u"), ("ADDED", "a", 12, "u"), ("DELETED", "a", 11, "u")], {"a": 12}),
        ([("DELETED", "a", 11, "u"), ("ADDED", "a", 12, "new"), ("DELETED", "a", 13, "u")], {"a": 12}),
        ([("MODIFIED", "b", 9, "u"), ("ADDED", "c", 13, "u")], {"a": 10, "c": 13}),
        ([("ADDED", "a", 12, "new"), ("DELETED", "a", 13, "new")], {}),
    ],
)
def test_replays_are_ignored(virtually, events, there):
    """An event that is older than what is known of its object, or of the collection, changes nothing."""

    async def main(loop):
        sink = Sink()
        task = asyncio.ensure_future(Reflector(Told(events), NODES, sink, clock=loop.time).run())
        await asyncio.sleep(1)
        task.cancel()
        return sink

    sink = virtually(main)
    assert (there, sorted(sink.story)) == (sink.things, sink.story)
