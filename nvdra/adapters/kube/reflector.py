"""Keeps a sink up to date with one collection: list, watch, and begin anew when the watch cannot go on.

The sink never sees time run backwards: what is older than what it was told is a replay, or a server that lags behind.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from typing import Any, Generic, Protocol, TypeVar

from attrs import define, field

from nvdra.adapters.kube.backoff import Backoff
from nvdra.adapters.looptime import a_generator, loop_time
from nvdra.api.kind import Kind
from nvdra.errors import Again, ApiError, Gone
from nvdra.ports import Cluster, Listing, WatchEvent

T = TypeVar("T")
_log = logging.getLogger(__name__)

WATCH_FAILURES = 5
"""So many watches broken in a row, without an event, and we list anew: the version may be what is wrong."""
STEADY_SECONDS = 5.0
"""A watch that lasted so long was a good one; the next may follow without delay."""
LAGGING_SECONDS = 60.0
"""A list older than what we have seen is a lagging server; so long after the first one it is the truth (a restore)."""


class Sink(Protocol):
    """Who is told. The engine's store is one."""

    def put(self, sort: Kind[Any], thing: Any) -> None:
        """It was seen so."""
        ...

    def drop(self, sort: Kind[Any], thing: Any) -> None:
        """It is gone."""
        ...

    def synced(self, sort: Kind[Any]) -> None:
        """The first complete list is in."""
        ...

    def all(self, sort: Kind[T]) -> Iterable[T]:
        """What it holds of a kind, also what it knows from answers to requests."""
        ...


@define(eq=False)
class Reflector(Generic[T]):
    """One collection. `trouble` says why it is not up to date; "" when it is."""

    cluster: Cluster
    kind: Kind[T]
    sink: Sink
    namespace: str = field(default="", kw_only=True)
    labels: str = field(default="", kw_only=True)
    fields: str = field(default="", kw_only=True)
    clock: Callable[[], float] = field(default=loop_time, kw_only=True)
    rng: random.Random = field(factory=a_generator, kw_only=True)
    has_synced: bool = field(default=False, init=False)
    trouble: str = field(default="not listed yet", init=False)
    _version: str = field(default="", init=False)
    _newest: int = field(default=0, init=False)
    _seen: dict[str, T] = field(factory=dict, init=False)
    _restart: bool = field(default=True, init=False)
    _lagging_since: float | None = field(default=None, init=False)
    _watch_failures: int = field(default=0, init=False)
    _backoff: Backoff = field(init=False)

    def __attrs_post_init__(self) -> None:
        """From 0.2 s to 30 s."""
        self._backoff = Backoff(0.2, 30.0, self.rng)

    async def run(self) -> None:
        """For ever; ends when cancelled."""
        while True:
            try:
                if not self._version:
                    self._adopt(await self._list())
                await self._follow()
            except Gone as error:
                self._version, self._restart = "", True
                self._troubled(error)
            except Again as error:
                self._troubled(error)
            await asyncio.sleep(self._backoff.next())

    async def _list(self) -> Listing[T]:
        try:
            listing = await self.cluster.list(self.kind, self.namespace, labels=self.labels, fields=self.fields)
        except Gone as error:
            raise Again(f"list {self.kind.plural}: its pages expired while they were read: {error}") from error
        if self._restart or _number(listing.version) >= self._newest:
            return listing
        now = self.clock()
        if self._lagging_since is None:
            self._lagging_since = now
        if now - self._lagging_since >= LAGGING_SECONDS:
            self._restart = True
            return listing
        raise Again(f"list {self.kind.plural}: the API server answers from the past, at version {listing.version}")

    def _adopt(self, listing: Listing[T]) -> None:
        """The sink is told what is there and what is there no more."""
        present = {_path(thing) for thing in listing.items}
        for path in [path for path in self._seen if path not in present]:
            self._drop(path)
        self._drop_unlisted(present, _number(listing.version))
        for thing in listing.items:
            self._put(thing, listed=True)
        self._version, self._newest = listing.version, _number(listing.version)
        self._restart, self._lagging_since = False, None
        if not self._watch_failures:
            self.trouble = ""
        if not self.has_synced:
            self.has_synced = True
            self.sink.synced(self.kind)

    def _drop_unlisted(self, present: Collection[str], listed: int) -> None:
        """What the sink knows from an answer, and no watch of ours ever told, may have ended while we were not told."""
        for thing in tuple(self.sink.all(self.kind)):
            path = _path(thing)
            if self._selects(thing) and path not in present and _number(_version(thing)) <= listed:
                self.sink.drop(self.kind, thing)

    def _selects(self, thing: Any) -> bool:
        """Whether it is in our namespace, and is the one object if we follow one only."""
        _, by_name, name = self.fields.partition("metadata.name=")
        return self.namespace in ("", _of(thing, "namespace")) and (not by_name or _of(thing, "name") == name)

    async def _follow(self) -> None:
        """One watch, until the server ends it."""
        self._watch_failures += 1
        began = self.clock()
        events = self.cluster.watch(self.kind, self._version, self.namespace, labels=self.labels, fields=self.fields)
        try:
            async for event in events:
                self._watch_failures, self.trouble = 0, ""
                self._take(event)
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()
            if self.clock() - began >= STEADY_SECONDS:
                self._backoff.reset()

    def _take(self, event: WatchEvent[T]) -> None:
        thing, version = event.object, _version(event.object)
        if event.type == "DELETED":
            self._take_deletion(thing)
        elif event.type != "BOOKMARK":
            self._put(thing)
        if _number(version) > self._newest:
            self._version, self._newest = version, _number(version)
            self._backoff.reset()

    def _take_deletion(self, thing: T) -> None:
        """Unless it is an old one, of an object that has been made, or has been selected, again since."""
        known = self._seen.get(_path(thing))
        if known is not None and _uid(known) == _uid(thing) and _number(_version(thing)) >= _number(_version(known)):
            del self._seen[_path(thing)]
            self.sink.drop(self.kind, thing)

    def _put(self, thing: T, *, listed: bool = False) -> None:
        """An event on an unknown object that is older than the collection is a replay of one that is gone."""
        path, number = _path(thing), _number(_version(thing))
        known = self._seen.get(path)
        newest = _number(_version(known)) if known is not None else 0 if listed else self._newest
        if 0 < number <= newest and not self._restart:
            return
        if known is not None and (_uid(known) != _uid(thing) or number < newest):
            self._drop(path)
        self._seen[path] = thing
        self.sink.put(self.kind, thing)

    def _drop(self, path: str) -> None:
        self.sink.drop(self.kind, self._seen.pop(path))

    def _troubled(self, error: Again) -> None:
        """Say it once, and list anew when going on from here does not work."""
        text = f"{error.code}: {error}" if isinstance(error, ApiError) else str(error)
        if text != self.trouble:
            _log.warning("%s: not up to date: %s", self.kind.plural, text)
        self.trouble = text
        if self._watch_failures >= WATCH_FAILURES:
            self._version = ""
        if error.after is not None:
            self._backoff.at_least(error.after)


def _meta(thing: Any) -> Any:
    return thing["metadata"] if isinstance(thing, dict) else thing.metadata


def _of(thing: Any, name: str) -> str:
    meta = _meta(thing)
    return str(meta.get(name, "") if isinstance(meta, dict) else getattr(meta, name))


def _path(thing: Any) -> str:
    return f"{_of(thing, 'namespace')}/{_of(thing, 'name')}"


def _uid(thing: Any) -> str:
    return _of(thing, "uid")


def _version(thing: Any) -> str:
    return _of(thing, "resourceVersion")


def _number(version: str) -> int:
    """Versions are numbers and may be compared (Kubernetes 1.35 says so, and it was always so)."""
    return int(version) if version.isdigit() else 0
