"""Keys that want a look: each waits once, is worked by one, and may be put off until later. Never what happened."""

import asyncio
import heapq
from collections import OrderedDict
from typing import NamedTuple

from attrs import define, field

from nvdra.ports import Clock

STALE = 256
"""So many entries of the heap may be there for nothing, beside as many as are there for something."""


class Key(NamedTuple):
    """Which statechart, and which object of it (a uid, a path: the domain's business)."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


@define(eq=False)
class Queue:
    """Ten events in a burst are one key; a key added while it is worked is worked once more afterwards."""

    clock: Clock
    _waiting: OrderedDict[Key, None] = field(factory=OrderedDict)
    _working: set[Key] = field(factory=set)
    _once_more: set[Key] = field(factory=set)
    _later: dict[Key, float] = field(factory=dict)
    _heap: list[tuple[float, Key]] = field(factory=list)
    _resting: dict[Key, float] = field(factory=dict)
    _changed: asyncio.Event = field(factory=asyncio.Event)

    def add(self, key: Key) -> None:
        """Look at it as soon as possible."""
        if key in self._working:
            self._once_more.add(key)
            return
        until = self._resting.get(key)
        if until is not None and self.clock() < until:
            self.add_at(key, until)
            return
        self._waiting[key] = None
        self._changed.set()

    def add_at(self, key: Key, when: float) -> None:
        """Look at it at that time, unless an earlier time is set already."""
        if when >= self._later.get(key, float("inf")):
            return
        self._later[key] = when
        heapq.heappush(self._heap, (when, key))
        if len(self._heap) > STALE + 2 * len(self._later):  # most of it was settled earlier than it was due
            self._heap = [(when, key) for key, when in self._later.items()]
            heapq.heapify(self._heap)
        self._changed.set()

    async def get(self) -> Key:
        """The next key; it is being worked until done()."""
        while True:
            self._due()
            if self._waiting:
                key, _ = self._waiting.popitem(last=False)
                self._working.add(key)
                self._forget_later(key)
                return key
            self._changed.clear()
            await self._sleep()

    def done(self, key: Key, rest: float = 0.0) -> None:
        """Its work has ended; in the next `rest` seconds it is not looked at again, however many ask for it."""
        self._working.discard(key)
        if rest > 0:
            self._resting[key] = self.clock() + rest
        else:
            self._resting.pop(key, None)
        if key in self._once_more:
            self._once_more.discard(key)
            self.add(key)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is worked (something may be due later)."""
        return not (self._waiting or self._working)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._once_more)

    def _forget_later(self, key: Key) -> None:
        self._later.pop(key, None)

    def _due(self) -> None:
        now = self.clock()
        while self._heap and self._heap[0][0] <= now:
            when, key = heapq.heappop(self._heap)
            if self._later.get(key) == when:
                del self._later[key]
                self.add(key)

    async def _sleep(self) -> None:
        limit = max(0.0, self._heap[0][0] - self.clock()) if self._heap else None
        try:
            async with asyncio.timeout(limit):
                await self._changed.wait()
        except TimeoutError:
            return
