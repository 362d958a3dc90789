"""A very small HTTP server for probes and metrics. GET and HEAD of fixed paths; a handler may hold its answer back."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import h11
from attrs import define, field, frozen

_log = logging.getLogger(__name__)
_READ_SIZE = 16 * 1024
_BACKLOG = 128


@frozen
class Request:
    """What was asked."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(factory=dict)


@frozen
class Answer:
    """What is answered."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


Handler = Callable[[Request], Awaitable[Answer]]


@frozen
class ServerLimits:
    """Nobody may keep us busy: connections, bytes of a head, seconds to send it, seconds between two requests."""

    connections: int = 256
    head: int = 16 * 1024
    body: int = 64 * 1024
    head_seconds: float = 10.0
    idle_seconds: float = 60.0


@define(eq=False)
class HttpServer:
    """Serves `routes` until stopped."""

    routes: Mapping[str, Handler]
    limits: ServerLimits = field(factory=ServerLimits)
    _server: asyncio.Server | None = field(default=None, init=False)
    _tasks: set[asyncio.Task[None]] = field(factory=set, init=False)

    async def start(self, host: str = "", port: int = 0, sock: socket.socket | None = None) -> None:
        """Listen. Without a host: on every address, IPv4 and IPv6 by one socket. `sock`: one that listens already."""
        listener = sock or _listener(host, port)
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=_READ_SIZE)

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("the server was not started")
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the door, then cancel what is held."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        visit = _Visit(self, reader, writer)
        try:
            await visit.serve(crowded=len(self._tasks) > self.limits.connections)
        except asyncio.CancelledError:
            if self._server is not None:  # not by stop(): asyncio would log what is no fault
                raise
        finally:
            self._tasks.discard(task)
            await self._goodbye(writer, visit)

    async def _goodbye(self, writer: asyncio.StreamWriter, visit: "_Visit") -> None:
        """What is written may still be read by them, for a while."""
        if visit.failed:
            writer.transport.abort()
        writer.close()
        try:
            async with asyncio.timeout(self.limits.head_seconds):
                await writer.wait_closed()
        except OSError:  # TimeoutError is one
            writer.transport.abort()


@define(eq=False)
class _Visit:
    """One connection."""

    server: HttpServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    failed: bool = True
    state: h11.Connection = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.state = h11.Connection(h11.SERVER, max_incomplete_event_size=self.server.limits.head)

    async def serve(self, *, crowded: bool) -> None:
        """One request after the other, until either side has had enough."""
        limits, wait = self.server.limits, self.server.limits.head_seconds
        with contextlib.suppress(TimeoutError, OSError, h11.LocalProtocolError):
            if crowded:
                await self._send(None, Answer(503, b"too many connections\n"), last=True)
            while not crowded:
                async with asyncio.timeout(wait):
                    request = await self._request()
                if request is None:
                    break
                answer = await self._handled(request)
                async with asyncio.timeout(limits.head_seconds):
                    await self._send(request, answer)
                if self.state.our_state is not h11.DONE or self.state.their_state is not h11.DONE:
                    break
                self.state.start_next_cycle()
                wait = limits.idle_seconds
            self.failed = False

    async def _request(self) -> Request | None:
        """The next request, its body read and thrown away; None at the end of the visit."""
        request, length = None, 0
        while True:
            try:
                event = self.state.next_event()
            except h11.RemoteProtocolError as error:
                await self._send(None, Answer(error.error_status_hint, f"{error}\n".encode()), last=True)
                return None
            if event is h11.NEED_DATA:
                self.state.receive_data(await self.reader.read(_READ_SIZE))
            elif isinstance(event, h11.Request):
                request = _request(event)
            elif isinstance(event, h11.Data):
                length += len(event.data)
                if length > self.server.limits.body:
                    await self._send(None, Answer(413, b"too long\n"), last=True)
                    return None
            elif isinstance(event, h11.EndOfMessage):
                return request
            else:
                return None

    async def _handled(self, request: Request) -> Answer:
        if request.method not in {"GET", "HEAD"}:
            return Answer(405, b"only GET and HEAD\n")
        handler = self.server.routes.get(request.path)
        if handler is None:
            return Answer(404, f"no {request.path} here; there are: {', '.join(self.server.routes)}\n".encode())
        return await self._while_they_wait(handler, request)

    async def _while_they_wait(self, handler: Handler, request: Request) -> Answer:
        """An answer that is held back is given up when nobody waits for it any more."""
        answering = asyncio.ensure_future(_answer(handler, request))
        leaving = asyncio.ensure_future(self.reader.read(_READ_SIZE))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                received = leaving.result()
                if not received and not answering.done():
                    raise ConnectionResetError("they left")
                self.state.receive_data(received)  # the beginning of the next request
            return await answering
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _send(self, request: Request | None, answer: Answer, *, last: bool = False) -> None:
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
            *([("Connection", "close")] if last else []),
        ]
        phrase = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else ""
        events: list[h11.Event] = [h11.Response(status_code=answer.status, headers=headers, reason=phrase)]
        if request is None or request.method != "HEAD":
            events.append(h11.Data(data=answer.body))
        events.append(h11.EndOfMessage())
        self.writer.write(b"".join(self.state.send(event) or b"" for event in events))
        await self.writer.drain()


async def _answer(handler: Handler, request: Request) -> Answer:
    """The edge: whatever goes wrong in a handler is an answer, and a line in the log."""
    try:
        return await handler(request)
    except Exception:  # noqa: BLE001 - the edge: a fault in a handler must not end the connection without a word
        _log.exception("%s %s", request.method, request.path)
        return Answer(500, b"internal error\n")


def _request(event: h11.Request) -> Request:
    path, _, query = event.target.decode("latin-1").partition("?")
    named = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
    return Request(event.method.decode("latin-1"), path, query, named)


def _listener(host: str, port: int) -> socket.socket:
    """An IPv6 socket serves IPv4 too: on `::`, which is the default where there is IPv6, everybody is served."""
    if not socket.has_dualstack_ipv6() or (host and ":" not in host):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    try:
        return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
    except OSError as error:
        if host:
            raise
        _log.info("no IPv6 here: %s", error)
    return socket.create_server(("", port), backlog=_BACKLOG)
