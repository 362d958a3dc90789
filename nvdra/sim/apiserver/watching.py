"""Watchers: what each of them is told of a change, and the hub that offers changes to those whom they may concern."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Literal

from attrs import define, field, frozen

from nvdra.sim.apiserver.collection import Change, Entry
from nvdra.sim.apiserver.selectors import Selector

MAX_BACKLOG = 20_000
"""A watcher that reads slower than this is cut off, as the real watch cache does."""


@frozen
class Told:
    """One event as one watcher sees it."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    entry: Entry


@define(eq=False)
class Watcher:
    """One watch: its selection and the events that were not read yet."""

    key: tuple[str, str]
    namespace: str
    selector: Selector
    backlog: deque[Told] = field(init=False, factory=deque)
    closed: bool = field(init=False, default=False)
    _wake: asyncio.Event = field(init=False, factory=asyncio.Event)

    def offer(self, change: Change) -> None:
        """Keep what it means to this watcher; an object that no longer matches is gone for it."""
        told = seen(change, self.namespace, self.selector)
        if told is None or self.closed:
            return
        self.backlog.append(told)
        if len(self.backlog) > MAX_BACKLOG:
            self.close()
        self._wake.set()

    def take(self) -> list[Told]:
        """Everything that was not read yet."""
        told = list(self.backlog)
        self.backlog.clear()
        self._wake.clear()
        return told

    def close(self) -> None:
        """Tell the reader that nothing more will come."""
        self.closed = True
        self._wake.set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until there is something to take, or the end; False when the time is over first."""
        if self.backlog or self.closed:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True


def seen(change: Change, namespace: str, selector: Selector) -> Told | None:
    """A change as somebody with this selection sees it."""
    entry, old = change.entry, change.old
    if namespace and entry.meta.get("namespace") != namespace:
        return None
    if selector.everything:
        return Told(change.type, entry)
    before = old is not None and selector.matches(old.object)
    after = change.type != "DELETED" and selector.matches(entry.object)
    if before and not after:
        assert old is not None
        return Told("DELETED", entry if change.type == "DELETED" else old.at(entry.version))
    if after:
        return Told("MODIFIED" if before else "ADDED", entry)
    return None


@define(eq=False)
class Hub:
    """All watchers, found by resource and by the one name or node that they may be bound to."""

    _rooms: dict[tuple[tuple[str, str], str, str], dict[Watcher, None]] = field(init=False, factory=dict)

    def join(self, watcher: Watcher) -> None:
        """Begin to offer changes."""
        self._rooms.setdefault(_room(watcher), {})[watcher] = None

    def leave(self, watcher: Watcher) -> None:
        """Stop; leaving twice is fine."""
        room = self._rooms.get(_room(watcher), {})
        room.pop(watcher, None)
        if not room:
            self._rooms.pop(_room(watcher), None)

    def publish(self, change: Change) -> None:
        """Offer a change to those whom it may concern."""
        for room in self._concerned(change):
            for watcher in tuple(self._rooms.get(room, ())):
                watcher.offer(change)

    def _concerned(self, change: Change) -> Iterable[tuple[tuple[str, str], str, str]]:
        key = change.entry.resource.key
        nodes = {(entry.object.get("spec") or {}).get("nodeName") for entry in (change.entry, change.old) if entry}
        yield key, "", ""
        yield key, "name", change.entry.meta["name"]
        for node in nodes:
            if node:
                yield key, "node", node

    def everybody(self) -> Iterable[Watcher]:
        """All watchers there are."""
        return [watcher for room in self._rooms.values() for watcher in room]


def _room(watcher: Watcher) -> tuple[tuple[str, str], str, str]:
    if watcher.selector.name is not None:
        return watcher.key, "name", watcher.selector.name
    node = dict(watcher.selector.exact).get("spec.nodeName")
    return (watcher.key, "node", node) if node else (watcher.key, "", "")
