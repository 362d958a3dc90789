"""An API server that is scripted change by change, and a store that counts, for the reflector."""

import asyncio
import random

from nvdra.adapters.kube.reflector import Reflector
from nvdra.api.kinds import NODES
from nvdra.api.meta import Meta
from nvdra.api.objects import Node
from nvdra.errors import Again, ApiError, Gone
from nvdra.ports import Listing, WatchEvent


def a_node(name, version, uid="u", **labels):
    return Node(Meta(name=name, uid=uid, resourceVersion=str(version), labels=labels))


class World:
    """One collection with its whole past. `trips` decide what each list and watch suffers; then all goes well."""

    def __init__(self, trips=()):
        self.version, self.past, self.compacted = 100, [], 0
        self.trips, self.lists, self.watches, self.changed = iter(trips), 0, 0, asyncio.Event()

    def at(self, version):
        things = {}
        for number, sort, thing in self.past:
            if number <= version:
                things.pop(thing.metadata.name, None)
                if sort != "DELETED":
                    things[thing.metadata.name] = thing
        return things

    def put(self, name, uid="u", **labels):
        self.version += 1
        sort = "MODIFIED" if name in self.at(self.version) else "ADDED"
        self._tell(sort, a_node(name, self.version, uid, **labels))

    def delete(self, name):
        if name in self.at(self.version):
            self.version += 1
            self._tell("DELETED", a_node(name, self.version, self.at(self.version)[name].metadata.uid))

    def _tell(self, sort, thing):
        self.past.append((self.version, sort, thing))
        self.changed.set()
        self.changed = asyncio.Event()

    async def list(self, kind, namespace="", *, labels="", fields=""):
        self.lists += 1
        trip = next(self.trips, "ok")
        if trip == "fail":
            raise ApiError("403 may not list", code=403)
        version = max(100, self.version - 3) if trip == "stale" else self.version
        return Listing(tuple(self.at(version).values()), str(version))

    async def watch(self, kind, version, namespace="", *, labels="", fields=""):
        self.watches += 1
        trip = next(self.trips, "ok")
        if trip == "fail":
            raise Again("no connection")
        if trip == "gone" or int(version) < self.compacted:
            raise Gone("too old", code=410)
        yield WatchEvent("BOOKMARK", a_node("", version))
        told = int(version)
        if trip == "replay":  # an event of long ago is repeated, then the connection breaks
            for _, sort, thing in self.past[-4:]:
                if int(thing.metadata.resourceVersion) <= told:
                    yield WatchEvent(sort, thing)
            raise Again("broken")
        while True:
            for number, sort, thing in [entry for entry in self.past if entry[0] > told]:
                yield WatchEvent(sort, thing)
                told = number
                if trip == "short":
                    return
            await self.changed.wait()


class Sink:
    """What was told, and whether it ever ran backwards."""

    def __init__(self):
        self.things, self.syncs, self.highest, self.backwards, self.drops = {}, 0, {}, [], []

    def put(self, sort, thing):
        meta = thing.metadata
        key, number = (meta.name, meta.uid), int(meta.resourceVersion)
        if number < self.highest.get(key, 0):
            self.backwards.append(thing)
        self.highest[key] = number
        self.things[meta.name] = thing

    def drop(self, sort, thing):
        self.drops.append(thing.metadata.name)
        assert self.things.pop(thing.metadata.name).metadata.uid == thing.metadata.uid

    def all(self, sort):
        return ()

    def synced(self, sort):
        self.syncs += 1


def reflector(loop, world, sink):
    return Reflector(world, NODES, sink, clock=loop.time, rng=random.Random(1))


async def until(condition, seconds=300.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)
