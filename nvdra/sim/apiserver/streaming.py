"""Watches over HTTP: one line an event, encoded once for all who watch."""

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from nvdra.sim.apiserver import tables, versions
from nvdra.sim.apiserver.exchange import Exchange
from nvdra.sim.apiserver.faults import refusal
from nvdra.sim.apiserver.resources import Ref
from nvdra.sim.apiserver.status import StatusError
from nvdra.sim.apiserver.watching import Told, Watcher

Json = dict[str, Any]
_TRUE = ("true", "1")
_PREFIX = {kind: b'{"type":"' + kind.encode() + b'","object":' for kind in ("ADDED", "MODIFIED", "DELETED")}
_DEFAULT_TIMEOUT = 1800


async def watch(exchange: Exchange, ref: Ref) -> web.StreamResponse:
    """Follow a collection until the client goes, the time is over or the server stops."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    try:
        watcher = _begun(exchange, ref)
    except StatusError as error:
        if error.code != 410:
            raise
        exchange.count(410)
        await response.prepare(exchange.request)
        await response.write(msgspec.json.encode({"type": "ERROR", "object": error.body()}) + b"\n")
        return response
    exchange.count(200)
    try:
        await response.prepare(exchange.request)
        await _Stream(exchange, ref, watcher, response).run()
    except ConnectionResetError:
        pass  # the client has gone
    finally:
        exchange.store.unwatch(watcher)
    return response


def _begun(exchange: Exchange, ref: Ref) -> Watcher:
    store, query = exchange.store, exchange.query
    if rule := exchange.faults.struck(exchange.call, ("gone",)):
        raise refusal(rule, exchange.call)
    version = query.get("resourceVersion", "")
    if rule := exchange.faults.struck(exchange.call, ("stale",)):
        version = str(max(1, (versions.version_number(version) or store.version) - rule.versions))
    return store.watch(ref, exchange.selector(ref), version, initial=_initial(query.get("sendInitialEvents")))


def _initial(said: str | None) -> bool | None:
    if said in _TRUE:
        return True
    return False if said in ("false", "0") else None


class _Stream:
    """One open watch."""

    def __init__(self, exchange: Exchange, ref: Ref, watcher: Watcher, response: web.StreamResponse) -> None:
        self.exchange, self.ref, self.watcher, self.response = exchange, ref, watcher, response
        self.bookmarks = exchange.query.get("allowWatchBookmarks") in _TRUE
        self.table = tables.Columns(exchange, ref) if tables.wanted(exchange.request) else None

    async def run(self) -> None:
        """Write events as they come."""
        clock = asyncio.get_running_loop().time
        end = clock() + float(self.exchange.query.get("timeoutSeconds") or _DEFAULT_TIMEOUT)
        if self.exchange.query.get("sendInitialEvents") in _TRUE:
            await self._send(self.watcher.take())
            await self._bookmark({"k8s.io/initial-events-end": "true"})
        while (left := end - clock()) > 0 and not self.watcher.closed:
            if await self.watcher.wait(min(left, self.exchange.bookmark_seconds)):
                await self._send(self.watcher.take())
            elif self.bookmarks:
                await self._bookmark({})

    async def _send(self, told: list[Told]) -> None:
        lines = [self._line(event) for event in told]
        if not lines:
            return
        if self.exchange.faults.rules and self.exchange.faults.struck(self.exchange.call, ("repeat",)):
            lines += lines
        await self._write(b"".join(lines))

    def _line(self, event: Told) -> bytes:
        if self.table is not None:
            return _PREFIX[event.type] + msgspec.json.encode(self.table.of([event.entry], {})) + b"}\n"
        return _PREFIX[event.type] + event.entry.wire(self.ref.version) + b"}\n"

    async def _bookmark(self, annotations: dict[str, str]) -> None:
        version = self.ref.version if "/" in self.ref.version else self.ref.resource.api_version(self.ref.version)
        meta: Json = {"resourceVersion": str(self.exchange.store.version), "creationTimestamp": None}
        if annotations:
            meta["annotations"] = annotations
        body: Json = {"kind": self.ref.resource.kind, "apiVersion": version, "metadata": meta}
        if self.table is not None:
            body = self.table.of([], {"resourceVersion": meta["resourceVersion"]})
        await self._write(msgspec.json.encode({"type": "BOOKMARK", "object": body}) + b"\n")

    async def _write(self, data: bytes) -> None:
        await self.response.write(data)
        self.exchange.store.counters.count_watched(self.exchange.agent, len(data))
