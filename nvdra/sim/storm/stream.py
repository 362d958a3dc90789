"""A watch as one process has it: late, told twice, broken or expired, and never out of order within one kind."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec

from nvdra.adapters.kube.decoding import decode_object
from nvdra.api.kind import Kind
from nvdra.errors import ApiError, Gone
from nvdra.ports import Listing, WatchEvent
from nvdra.sim.apiserver import selectors
from nvdra.sim.apiserver.inprocess import InProcess, typed
from nvdra.sim.apiserver.requests import Paging
from nvdra.sim.apiserver.status import StatusError
from nvdra.sim.apiserver.watching import Told, Watcher
from nvdra.sim.storm.fate import Odds
from nvdra.sim.storm.life import Edge

T = TypeVar("T")
EVENT_ODDS: Final[Odds] = {"lag": 0.02, "twice": 0.005, "broken": 0.005, "expired": 0.003}
BOOKMARK_EVERY: Final = 60.0
Call = Callable[[str, Kind[Any], Callable[[], Any]], Awaitable[Any]]


class Client(InProcess):
    """The object store, at this moment or as it was."""

    def list_at(self, version: int, kind: Kind[T], namespace: str, labels: str, fields: str) -> Listing[T]:
        """A list as it was at that version; of now, where that is forgotten."""
        ref = self._ref(kind, "", namespace)
        selector = selectors.parse(ref.resource, labels, fields)
        try:
            page = self.store.list(ref, selector, Paging(version=str(version), match="Exact"))
        except StatusError:
            page = self.store.list(ref, selector)
        return Listing(tuple(typed(kind, entry) for entry in page.entries), str(page.version))

    def watcher(self, kind: Kind[Any], version: str, namespace: str, labels: str, fields: str) -> Watcher:
        """Begin a watch; Gone when that version is forgotten."""
        with self._counted("watch", kind):
            ref = self._ref(kind, "", namespace)
            return self.store.watch(ref, selectors.parse(ref.resource, labels, fields), version)


class Stream(AsyncGenerator[WatchEvent[T], None]):
    """One watch. Its first event is a BOOKMARK of the version that it began at, as the real client's is."""

    def __init__(self, edge: Edge, client: Client, call: Call, kind: Kind[T], start: tuple[str, str, str, str]) -> None:
        self._edge, self._client, self._call, self._kind = edge, client, call, kind
        self._version, *self._where = start
        self._watcher: Watcher | None = None
        self._told: deque[Told] = deque()
        self._again: WatchEvent[T] | None = None

    async def asend(self, _: None) -> WatchEvent[T]:
        """The next event."""
        self._edge.check()
        if self._watcher is None:
            return await self._open()
        if self._again is not None:
            event, self._again = self._again, None
            return event
        while not self._told:
            await self._see()
            if self._watcher.closed:
                self._close()
                raise StopAsyncIteration
            if not self._reached():
                raise self._broken("the server is not reached any more")
            if not await self._watcher.wait(BOOKMARK_EVERY):
                return self._bookmark(str(self._watcher_version()))
            self._told.extend(self._watcher.take())
        return await self._deliver(self._told.popleft())

    async def _open(self) -> WatchEvent[T]:
        client, kind = self._client, self._kind
        self._watcher = await self._call("watch", kind, lambda: client.watcher(kind, self._version, *self._where))
        self._edge.on_death.append(self._close)
        return self._bookmark(self._version)

    async def _deliver(self, told: Told) -> WatchEvent[T]:
        edge, plural = self._edge, self._kind.plural
        fate = edge.fate(f"event {plural}", EVENT_ODDS)
        nth = edge.ground.fate.asked
        low, high = (0.5, 20.0) if fate == "lag" else (0.0005, 0.02)
        await asyncio.sleep(edge.ground.fate.between(low, high, "event", edge.name, nth))
        await self._see()
        edge.check()
        if fate == "broken" or not self._reached():
            raise self._broken("the watch broke")
        if fate == "expired":
            self._close()
            raise Gone(f"watch {plural}: too old resource version", code=410, reason="Expired")
        event = WatchEvent(told.type, typed(self._kind, told.entry))
        self._again = event if fate == "twice" else None
        return event

    async def _see(self) -> None:
        """Where the view is disturbed, nothing is told for a while; who was blind has to list anew then."""
        edge = self._edge
        sight = edge.ground.sight
        while (seconds := sight.waits(edge.name)) > 0:
            blind = edge.name in sight.blind
            await asyncio.sleep(seconds)
            edge.check()
            if blind:
                self._close()
                raise Gone(f"watch {self._kind.plural}: too old resource version", code=410, reason="Expired")

    def _reached(self) -> bool:
        return self._edge.ground.reaches(self._edge.node)

    def _broken(self, why: str) -> ApiError:
        self._close()
        return ApiError(f"watch {self._kind.plural}: {why}", code=0)

    def _watcher_version(self) -> int:
        return self._edge.ground.store.version

    def _bookmark(self, version: str) -> WatchEvent[T]:
        opened = msgspec.json.encode({"metadata": {"resourceVersion": version}})
        if self._kind.type is dict:
            body: Any = {"metadata": {"resourceVersion": version}}
            return WatchEvent("BOOKMARK", body)
        return WatchEvent("BOOKMARK", decode_object(self._kind, opened, "bookmark"))

    async def athrow(self, *error: Any) -> WatchEvent[T]:
        """Asked to end."""
        self._close()
        raise error[0]

    async def aclose(self) -> None:
        """Told to end."""
        self._close()

    def _close(self) -> None:
        if self._watcher is not None:
            self._client.store.unwatch(self._watcher)
