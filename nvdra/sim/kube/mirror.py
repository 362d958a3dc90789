"""A live copy of one collection, kept by list and watch, and those who want to hear of its changes.

Objects are shared: nobody changes one in place.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from nvdra.api.kind import Kind
from nvdra.errors import Again, Gone
from nvdra.ports import Cluster
from nvdra.sim.kube.shapes import Json, Key, key, uid, version

Listener = Callable[[Json | None, Json | None], None]
"""Called with the object before and after; None where there was or is none."""

_log = logging.getLogger(__name__)


class Mirror:
    """One collection as last seen. `put` lays an own write over it, so that nobody acts on a sight older than that."""

    def __init__(self, cluster: Cluster, kind: Kind[Json], *, labels: str = "", fields: str = "") -> None:
        self.kind = kind
        self.items: dict[Key, Json] = {}
        self.synced = asyncio.Event()
        self._cluster = cluster
        self._labels = labels
        self._fields = fields
        self._listeners: list[Listener] = []
        self._graves: dict[Key, str] = {}

    def listen(self, listener: Listener) -> None:
        """Hear of every change from now on, and at once of what is there already."""
        self._listeners.append(listener)
        for found in list(self.items.values()):
            listener(None, found)

    def get(self, name: str, namespace: str = "") -> Json | None:
        """The object of that name as last seen."""
        return self.items.get((namespace, name))

    def values(self) -> Iterable[Json]:
        """Every object as last seen."""
        return self.items.values()

    def put(self, now: Json) -> None:
        """Take in a newer sight of one object; an older one changes nothing."""
        old = self.items.get(key(now))
        if old is not None and version(now) <= version(old):
            return
        if old is None and self._graves.get(key(now)) == uid(now):
            return
        self.items[key(now)] = now
        self._tell(old, now)

    def drop(self, gone: Json) -> None:
        """Take in that an object is gone."""
        old = self.items.get(key(gone))
        if old is None or uid(old) != uid(gone):
            return
        del self.items[key(gone)]
        self._graves[key(gone)] = uid(gone)
        if len(self._graves) > 1000:
            self._graves.pop(next(iter(self._graves)))
        self._tell(old, None)

    async def run(self) -> None:
        """List, then follow; list again when the server has forgotten where we were."""
        at = ""
        while True:
            try:
                at = at or await self._list()
                at = await self._follow(at)
            except Gone:
                at = ""
            except Again as error:
                _log.debug("mirror of %s: %s", self.kind.plural, error)
                await asyncio.sleep(0.2)

    async def _list(self) -> str:
        listing = await self._cluster.list(self.kind, labels=self._labels, fields=self._fields)
        there = {key(item): uid(item) for item in listing.items}
        for old in [o for o in self.items.values() if there.get(key(o)) != uid(o)]:
            self.drop(old)
        for item in listing.items:
            self.put(item)
        self.synced.set()
        return listing.version

    async def _follow(self, at: str) -> str:
        async for event in self._cluster.watch(self.kind, at, labels=self._labels, fields=self._fields):
            at = event.object["metadata"]["resourceVersion"]
            if event.type == "DELETED":
                self.drop(event.object)
            elif event.type != "BOOKMARK":
                self.put(event.object)
        return at

    def _tell(self, old: Json | None, new: Json | None) -> None:
        for listener in self._listeners:
            listener(old, new)
