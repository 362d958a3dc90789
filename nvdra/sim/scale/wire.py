"""A bare HTTP/1.1 client for thousands of scripted nodes: what it costs to play a node must not be what is measured.

It counts what it sends and hears, by whom and about what, so that any API server can be measured, also one that tells
nothing of itself.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

import msgspec
from attrs import define, field, frozen

from nvdra.adapters.kube.config import Access
from nvdra.errors import Again, NvdraError

Piece = Callable[[bytes], None]
CONNECTIONS = 48
RETRIES = 8


class Refusal(NvdraError):
    """An answer with an error status. `code` tells which."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@frozen
class Asked:
    """One sort of request: who asked what, about what, and the answer's code."""

    agent: str
    verb: str
    resource: str
    code: int


@define(eq=False)
class Tally:
    """What was sent and heard."""

    requests: Counter[Asked] = field(factory=Counter)
    watched: Counter[str] = field(factory=Counter)


@frozen
class Ask:
    """What is asked: as whom, and how it is counted."""

    agent: str
    verb: str
    resource: str
    target: str
    body: bytes = b""
    content: str = "application/json"

    @property
    def method(self) -> str:
        """Of HTTP."""
        methods = {"create": "POST", "patch": "PATCH", "update": "PUT", "delete": "DELETE"}
        return methods.get(self.verb, "GET")


class Line(asyncio.Protocol):
    """One connection. An answer's body goes piece by piece to `on_piece`; `done` tells its end."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.on_piece: Piece = _nothing
        self.status = 0
        self.retry_after = 0.0
        self.closed = False
        self.head: asyncio.Future[int] | None = None
        self.done: asyncio.Future[None] | None = None
        self._buffer = bytearray()
        self._left = -1
        self._chunked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        for waiter in (self.head, self.done):
            if waiter is not None and not waiter.done():
                waiter.set_exception(Again(f"the connection was closed: {exc or 'by the server'}"))
                waiter.exception()  # looked at, so that nobody complains when nobody waits

    def send(self, data: bytes, on_piece: Piece) -> None:
        """Write one request."""
        assert self.transport is not None
        loop = asyncio.get_running_loop()
        self.head, self.done, self.on_piece = loop.create_future(), loop.create_future(), on_piece
        self.status, self._left, self._chunked = 0, -1, False
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.status and not self._read_head():
            return
        if self._chunked:
            self._read_chunks()
            return
        piece = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(piece)
        if piece:
            self.on_piece(piece)
        if not self._left:
            self._finish()

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *rest = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        self.status = int(first.split(" ", 2)[1])
        self.retry_after = float(headers.get("retry-after", 0))
        self._chunked = headers.get("transfer-encoding", "") == "chunked"
        self._left = int(headers.get("content-length", 0))
        if self.head is not None and not self.head.done():
            self.head.set_result(self.status)
        return True

    def _read_chunks(self) -> None:
        while True:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                return
            size = int(self._buffer[:end].split(b";")[0], 16)
            if len(self._buffer) < end + 4 + size:
                return
            piece = bytes(self._buffer[end + 2 : end + 2 + size])
            del self._buffer[: end + 4 + size]
            if not size:
                self._finish()
                return
            self.on_piece(piece)

    def _finish(self) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_result(None)


@define(eq=False)
class Wire:
    """The way to one API server, for any number of scripted people."""

    access: Access
    tally: Tally = field(factory=Tally)
    _kept: list[Line] = field(factory=list, init=False)
    _slots: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(CONNECTIONS), init=False)
    _watches: set[Line] = field(factory=set, init=False)

    async def send(self, ask: Ask) -> bytes:
        """The body of a success. 429 and a closed connection are tried again; anything else is a Refusal."""
        for _ in range(RETRIES):
            async with self._slots:
                body, line = await self._exchange(ask)
            if line.status < 300:
                return body
            if line.status != 429:
                break
            await asyncio.sleep(max(0.1, line.retry_after))
        raise Refusal(f"{ask.method} {ask.target}: {line.status}: {_message(body)}", line.status)

    async def watch(self, ask: Ask, on_line: Piece) -> Line:
        """Open a watch; every line goes to `on_line`. The caller ends it with `forget`."""
        rest = bytearray()

        def on_piece(piece: bytes) -> None:
            self.tally.watched[ask.agent] += len(piece)
            rest.extend(piece)
            *whole, last = bytes(rest).split(b"\n")
            rest[:] = last
            for line in whole:
                on_line(line)

        async with self._slots:
            line = await self._connect()
            self._watches.add(line)
            line.send(await self._bytes(ask), on_piece)
            assert line.head is not None
            status = await line.head
        self.tally.requests[Asked(ask.agent, ask.verb, ask.resource, status)] += 1
        if status >= 300:
            self.forget(line)
            raise Refusal(f"{ask.method} {ask.target}: {status}", status)
        return line

    def forget(self, line: Line) -> None:
        """End a watch."""
        self._watches.discard(line)
        if line.transport is not None:
            line.transport.abort()

    async def close(self) -> None:
        """Give all sockets back."""
        for line in (*self._watches, *self._kept):
            if line.transport is not None:
                line.transport.abort()
        self._watches.clear()
        self._kept.clear()
        await asyncio.sleep(0)  # transports close in the next turn of the loop

    async def _exchange(self, ask: Ask) -> tuple[bytes, Line]:
        parts: list[bytes] = []
        line = await self._line()
        line.send(await self._bytes(ask), parts.append)
        assert line.done is not None
        await line.done
        self.tally.requests[Asked(ask.agent, ask.verb, ask.resource, line.status)] += 1
        self._kept.append(line)
        return b"".join(parts), line

    async def _line(self) -> Line:
        while self._kept:
            line = self._kept.pop()
            if not line.closed:
                return line
        return await self._connect()

    async def _connect(self) -> Line:
        end = self.access.endpoint
        loop = asyncio.get_running_loop()
        name = (end.server_name or end.host) if end.tls else None
        for attempt in range(RETRIES):
            try:
                _, line = await loop.create_connection(Line, end.host, end.port, ssl=end.tls, server_hostname=name)
            except OSError:  # thousands at once: its backlog is full
                if attempt + 1 == RETRIES:
                    raise
                await asyncio.sleep(0.2 * 2**attempt)
            else:
                return line
        raise AssertionError("never")

    async def _bytes(self, ask: Ask) -> bytes:
        end = self.access.endpoint
        head = (
            f"{ask.method} {end.prefix}{ask.target} HTTP/1.1\r\nHost: {end.authority}\r\nUser-Agent: {ask.agent}/0\r\n"
        )
        head += "Accept: application/json\r\n"
        if authorization := await self.access.credentials.header():
            head += f"Authorization: {authorization}\r\n"
        if ask.body:
            head += f"Content-Type: {ask.content}\r\nContent-Length: {len(ask.body)}\r\n"
        return head.encode() + b"\r\n" + ask.body


def _nothing(_: bytes) -> None:
    """To nobody."""


def _message(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body).get("message", ""))
    except (msgspec.DecodeError, AttributeError):
        return body[:200].decode("latin-1")
