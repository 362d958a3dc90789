"""A process's way to the API server: ports.Cluster over the object store, slow, lossy, and sometimes behind.

What was sent is served, whatever becomes of the sender. GETs and lists are of the moment they are served at, as etcd's
are; only lists of reflectors may come from a server that lags, and watches may be late, broken or expired.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import msgspec
from attrs import define, field

from nvdra.adapters.kube.decoding import decode_object
from nvdra.api.kind import Kind
from nvdra.errors import ApiError, Gone, NvdraError
from nvdra.ports import Json, Listing, PatchType, WatchEvent
from nvdra.sim.apiserver import selectors
from nvdra.sim.apiserver.inprocess import InProcess, typed
from nvdra.sim.apiserver.requests import Paging
from nvdra.sim.apiserver.status import StatusError
from nvdra.sim.apiserver.watching import Told, Watcher
from nvdra.sim.storm.fate import Odds
from nvdra.sim.storm.life import Edge

T = TypeVar("T")
CALL_ODDS: Final[Odds] = {
    "lost": 0.008,
    "unanswered": 0.008,
    "slow": 0.008,
    "busy": 0.004,
    "ghost": 0.002,
    "die-before": 0.002,
    "die-after": 0.002,
}
EVENT_ODDS: Final[Odds] = {"lag": 0.02, "twice": 0.005, "broken": 0.005, "expired": 0.003}
LIST_ODDS: Final[Odds] = {"stale": 0.05}
GHOST: Final = 0.5
"""After so many seconds a sender gives up on a request that is still under way."""
BOOKMARK_EVERY: Final = 60.0
AWAY: Final = "connection refused"
LATE: Final = " (late)"
"""Behind the name of a sender that had given up, or was dead, when its request was served."""


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


@define(eq=False)
class Wire:
    """ports.Cluster, and a kubelet's NodeCluster."""

    edge: Edge
    odds: Odds = field(default=CALL_ODDS)
    client: Client = field(init=False)
    _served: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.client = Client(self.edge.ground.store, "nvdra")

    async def get(self, kind: Kind[T], name: str, namespace: str = "") -> T:
        """Read one object live."""
        found: T = await self.call("get", kind, lambda: at_once(self.client.get(kind, name, namespace)))
        return found

    async def list(self, kind: Kind[T], namespace: str = "", *, labels: str = "", fields: str = "") -> Listing[T]:
        """Read a collection; a reflector's list may come from a server that lags behind."""
        ground = self.edge.ground
        then = ground.sight.version(self.edge.name) if _of_reflector() else None
        behind = 0
        if _of_reflector() and self.edge.fate(f"list {kind.plural}", LIST_ODDS):
            behind = 1 + int(ground.fate.between(0, 40, "behind", self.edge.name, ground.fate.asked))

        def look() -> Listing[T]:
            if behind or then is not None:
                version = then or max(1, ground.store.version - behind)
                return self.client.list_at(version, kind, namespace, labels, fields)
            found: Listing[T] = at_once(self.client.list(kind, namespace, labels=labels, fields=fields))
            return found

        listed: Listing[T] = await self.call("list", kind, look)
        return listed

    def watch(
        self, kind: Kind[T], version: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> "Stream[T]":
        """Follow a collection."""
        return Stream(self, kind, version, (namespace, labels, fields))

    async def create(self, kind: Kind[T], body: Json, namespace: str = "") -> T:
        """Create an object."""
        made: T = await self.call("create", kind, lambda: at_once(self.client.create(kind, body, namespace)))
        return made

    async def patch(
        self,
        kind: Kind[T],
        name: str,
        patch: Json | Sequence[Json],
        namespace: str = "",
        *,
        how: PatchType = "merge",
        subresource: str = "",
    ) -> T:
        """Patch an object."""
        work = lambda: at_once(  # noqa: E731 - one line of work
            self.client.patch(kind, name, patch, namespace, how=how, subresource=subresource)
        )
        patched: T = await self.call("patch", kind, work)
        return patched

    async def replace(self, kind: Kind[T], name: str, body: Json, namespace: str = "") -> T:
        """Replace an object."""
        put: T = await self.call("update", kind, lambda: at_once(self.client.replace(kind, name, body, namespace)))
        return put

    async def delete(
        self,
        kind: Kind[T],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        version: str = "",
        grace: int | None = None,
    ) -> None:
        """Delete an object; already gone is success."""
        work = lambda: at_once(  # noqa: E731 - one line of work
            self.client.delete(kind, name, namespace, uid=uid, version=version, grace=grace)
        )
        await self.call("delete", kind, work)

    async def call(self, verb: str, kind: Kind[Any], work: Callable[[], Any]) -> Any:
        """One request, with whatever may become of it. `work` is done by the server, at once."""
        edge, what = self.edge, f"{verb} {kind.plural}"
        edge.check()
        fate = edge.fate(what, self.odds)
        if fate == "die-before":
            edge.die()
            raise asyncio.CancelledError
        if fate == "busy":
            raise ApiError(f"{what}: too many requests", code=429, reason="TooManyRequests", after=1.0)
        self._served += 1
        there, back = (self._pause(way) for way in ("there", "back"))
        if fate == "lost" or not edge.ground.reaches(edge.node):
            await asyncio.sleep(there)
            raise ApiError(f"{what}: {AWAY}", code=0)
        if fate in ("slow", "ghost"):
            there = edge.ground.fate.between(1.0, 15.0, "slow", edge.name, self._served)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(there, self._serve, what, work, answer, back)
        if fate == "die-after":
            asyncio.get_running_loop().call_later(there, edge.die)
        try:
            async with asyncio.timeout(GHOST if fate == "ghost" else None):
                found = await answer
        except TimeoutError as late:
            raise ApiError(f"{what}: the connection broke while an answer was awaited", code=0) from late
        edge.check()
        if fate == "unanswered":
            raise ApiError(f"{what}: the connection was lost before an answer came", code=0)
        return found

    def _serve(self, what: str, work: Callable[[], Any], answer: "asyncio.Future[Any]", back: float) -> None:
        """The server's part: it does not ask whether anybody still waits."""
        ground = self.edge.ground
        late = answer.done() or not self.edge.alive
        before, ground.writer = ground.writer, f"{self.edge.name}{LATE if late else ''}"
        found, error = None, None
        try:
            if not ground.reaches(self.edge.node):
                raise ApiError(f"{what}: {AWAY}", code=0)
            found = work()
        except NvdraError as failed:
            error = failed
        finally:
            ground.writer = before
        asyncio.get_running_loop().call_later(back, _settle, answer, found, error)

    def _pause(self, way: str) -> float:
        """A millisecond or some: enough for others to come between."""
        return self.edge.ground.fate.between(0.0005, 0.012, way, self.edge.name, self._served)


class Stream(AsyncGenerator[WatchEvent[T], None]):
    """One watch. Its first event is a BOOKMARK of the version that it began at, as the real client's is."""

    def __init__(self, wire: Wire, kind: Kind[T], version: str, where: tuple[str, str, str]) -> None:
        self._wire, self._kind, self._version, self._where = wire, kind, version, where
        self._watcher: Watcher | None = None
        self._told: deque[Told] = deque()
        self._again: WatchEvent[T] | None = None

    async def asend(self, _: None) -> WatchEvent[T]:
        """The next event."""
        self._wire.edge.check()
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
        client, kind = self._wire.client, self._kind
        self._watcher = await self._wire.call("watch", kind, lambda: client.watcher(kind, self._version, *self._where))
        self._wire.edge.on_death.append(self._close)
        return self._bookmark(self._version)

    async def _deliver(self, told: Told) -> WatchEvent[T]:
        edge, plural = self._wire.edge, self._kind.plural
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
        edge = self._wire.edge
        sight = edge.ground.sight
        while (seconds := sight.waits(edge.name)) > 0:
            blind = edge.name in sight.blind
            await asyncio.sleep(seconds)
            edge.check()
            if blind:
                self._close()
                raise Gone(f"watch {self._kind.plural}: too old resource version", code=410, reason="Expired")

    def _reached(self) -> bool:
        return self._wire.edge.ground.reaches(self._wire.edge.node)

    def _broken(self, why: str) -> ApiError:
        self._close()
        return ApiError(f"watch {self._kind.plural}: {why}", code=0)

    def _watcher_version(self) -> int:
        return self._wire.edge.ground.store.version

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
            self._wire.client.store.unwatch(self._watcher)


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The answer of the store, which never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("the store waited")


def _settle(answer: "asyncio.Future[Any]", found: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(found)


def _of_reflector() -> bool:
    """Whether a reflector asks: all others rest on their lists being of this moment."""
    task = asyncio.current_task()
    coroutine = task.get_coro() if task else None
    return getattr(coroutine, "__qualname__", "") == "Reflector.run"
