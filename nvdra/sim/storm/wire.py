"""A process's way to the API server: ports.Cluster over the object store, slow, lossy, and sometimes behind.

What was sent is served, whatever becomes of the sender. GETs and lists are of the moment they are served at, as etcd's
are; only lists of reflectors may come from a server that lags, and watches may be late, broken or expired.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from attrs import define, field

from nvdra.api.kind import Kind
from nvdra.errors import ApiError, NvdraError
from nvdra.ports import Json, Listing, PatchType
from nvdra.sim.storm.fate import Odds
from nvdra.sim.storm.life import Edge
from nvdra.sim.storm.stream import Client, Stream

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
LIST_ODDS: Final[Odds] = {"stale": 0.05}
GHOST: Final = 0.5
"""After so many seconds a sender gives up on a request that is still under way."""
AWAY: Final = "connection refused"
LATE: Final = " (late)"
"""Behind the name of a sender that had given up, or was dead, when its request was served."""


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
        return Stream(self.edge, self.client, self.call, kind, (version, namespace, labels, fields))

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
