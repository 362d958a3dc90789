"""An HTTP client for one server: a small pool of kept connections, whole answers and streams, everything bounded."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

from attrs import define, evolve, field, frozen

from nvdra.adapters.http.connection import Connection, Endpoint, Head, Lost, Unreachable, Untrusted, connect
from nvdra.errors import ConfigError

_log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024 * 1024
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
Headers = Sequence[tuple[str, str]]


@frozen
class Limits:
    """How many connections, how long, how much."""

    connections: int = 16
    streams: int = 64
    kept: int = 4
    kept_seconds: float = 30.0
    connect_seconds: float = 10.0
    body: int = MAX_BODY


@frozen
class Response:
    """A whole answer."""

    head: Head
    body: bytes

    @property
    def status(self) -> int:
        """The status code."""
        return self.head.status


@define(eq=False)
class Stream:
    """An answer that goes on. `chunks` ends when the server ends it, and raises Unreachable when it breaks off."""

    head: Head
    _connection: Connection = field(alias="connection")
    _what: str = field(alias="what")
    _idle: float = field(alias="idle")
    _limit: int = field(default=MAX_BODY, alias="limit")

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes; silence of more than the idle limit breaks it off."""
        while True:
            try:
                async with asyncio.timeout(self._idle):
                    chunk = await self._connection.chunk()
            except TimeoutError as error:
                raise Unreachable(f"{self._what}: silent for {self._idle:g} s") from error
            except Lost as error:
                raise Unreachable(f"{self._what}: {error}") from error
            if chunk is None:
                return
            yield chunk

    async def body(self) -> bytes:
        """The rest of it as one piece: for error answers."""
        parts = bytearray()
        async for chunk in self.chunks():
            parts += chunk
            if len(parts) > self._limit:
                raise Unreachable(f"{self._what}: the answer is longer than {self._limit} bytes")
        return bytes(parts)


@define(eq=False)
class HttpClient:
    """Requests to one server. Close it when done."""

    endpoint: Endpoint
    limits: Limits = field(factory=Limits)
    _clock: Callable[[], float] = field(default=time.monotonic, alias="clock")
    _kept: list[Connection] = field(factory=list, init=False)
    _open: set[Connection] = field(factory=set, init=False)
    _slots: asyncio.Semaphore = field(init=False)
    _stream_slots: asyncio.Semaphore = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Count connections from the start."""
        self._slots = asyncio.Semaphore(self.limits.connections)
        self._stream_slots = asyncio.Semaphore(self.limits.streams)

    async def request(
        self, method: str, target: str, headers: Headers = (), body: bytes = b"", *, timeout: float = 30.0
    ) -> Response:
        """One request and its whole answer within `timeout` seconds."""
        what = self._text(method, target)
        try:
            async with asyncio.timeout(timeout), self._slots:
                return await self._exchange(method, target, headers, body)
        except TimeoutError as error:
            raise Unreachable(f"{what}: no answer within {timeout:g} s") from error
        except Lost as error:
            raise Unreachable(f"{what}: {error}") from error

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, target: str, headers: Headers = (), *, timeout: float = 30.0, idle: float = 120.0
    ) -> AsyncIterator[Stream]:
        """A request on a connection of its own, whose answer is read as it comes."""
        what = self._text(method, target)
        connection: Connection | None = None
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(timeout):
                    await stack.enter_async_context(self._stream_slots)
                    connection = await self._connect()
                    stack.callback(self._drop, connection)
                    head = await connection.send(method, self._target(target), self._headers(headers, b""), b"")
            except TimeoutError as error:
                raise Unreachable(f"{what}: no answer within {timeout:g} s") from error
            except Lost as error:
                raise Unreachable(f"{what}: {error}") from error
            yield Stream(head, connection, what, idle, self.limits.body)

    async def close(self) -> None:
        """Break off everything and give the sockets back."""
        connections = list(self._open)
        for connection in connections:
            self._drop(connection)
        for connection in connections:
            await connection.closed()
        self._kept.clear()

    async def _exchange(self, method: str, target: str, headers: Headers, body: bytes) -> Response:
        """On a kept connection if there is one; when that was closed meanwhile, once more on a new one."""
        connection = self._reuse()
        if connection is not None:
            try:
                return await self._once(connection, method, target, (headers, body))
            except Lost as error:
                if error.answered or method not in IDEMPOTENT:
                    raise
        return await self._once(await self._connect(), method, target, (headers, body))

    async def _once(self, connection: Connection, method: str, target: str, what: tuple[Headers, bytes]) -> Response:
        headers, body = what
        keep = False
        try:
            head = await connection.send(method, self._target(target), self._headers(headers, body), body)
            answer = await self._whole(connection, head)
            keep = connection.finish() and len(self._kept) < self.limits.kept
        finally:
            if not keep:
                self._drop(connection)
        connection.idle_since = self._clock()
        self._kept.append(connection)
        return answer

    async def _whole(self, connection: Connection, head: Head) -> Response:
        parts = bytearray()
        while (chunk := await connection.chunk()) is not None:
            parts += chunk
            if max(len(parts), head.length) > self.limits.body:
                raise Lost(f"the answer is longer than {self.limits.body} bytes", answered=True)
        return Response(head, bytes(parts))

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(self.limits.connect_seconds):
                connection = await connect(self.endpoint)
        except TimeoutError as error:
            raise Lost(f"no connection within {self.limits.connect_seconds:g} s") from error
        except Untrusted:
            self._trust_anew()  # for the next try
            raise
        self._open.add(connection)
        return connection

    def _trust_anew(self) -> None:
        """A cluster may replace its authority while we run, and we may run for a year."""
        if self.endpoint.renew is None:
            return
        try:
            self.endpoint = evolve(self.endpoint, tls=self.endpoint.renew())
        except ConfigError as error:
            _log.warning("going on with the last certificate authority: %s", error)

    def _reuse(self) -> Connection | None:
        """The connection used last, as it is the least likely to have been closed."""
        while self._kept:
            connection = self._kept.pop()
            if not connection.stale and self._clock() - connection.idle_since < self.limits.kept_seconds:
                return connection
            self._drop(connection)
        return None

    def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.abort()

    def _text(self, method: str, target: str) -> str:
        """For errors; without the query, so that the same trouble has the same text."""
        return f"{method} {target.partition('?')[0]} at {self.endpoint.url}"

    def _target(self, target: str) -> str:
        return f"{self.endpoint.prefix}{target}"

    def _headers(self, headers: Headers, body: bytes) -> Headers:
        length = [("Content-Length", str(len(body)))] if body else []
        return [("Host", self.endpoint.authority), *headers, *length]
