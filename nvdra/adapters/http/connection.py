"""One HTTP/1.1 connection, as a client: bytes in and out of h11. Nothing about pools, retries or Kubernetes."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence

import h11
from attrs import define, field, frozen

from nvdra.errors import Again

MAX_HEADERS = 64 * 1024
_READ_SIZE = 64 * 1024
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))


class Unreachable(Again):
    """No answer, or only a part of one: the text names method, path, server and cause."""


class Lost(Exception):
    """The connection broke; users see Unreachable. `answered` tells whether any byte of an answer had come."""

    def __init__(self, text: str, *, answered: bool = False) -> None:
        super().__init__(text)
        self.answered = answered


class Untrusted(Lost):
    """Its certificate is by no authority that we trust."""


@frozen
class Endpoint:
    """A server: where it listens and how it proves who it is. `renew` reads anew whom we trust: authorities change."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    prefix: str = ""
    renew: Callable[[], ssl.SSLContext] | None = field(default=None, eq=False, repr=False)

    @property
    def authority(self) -> str:
        """What goes into the Host header; an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """For error texts."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.prefix}"


@frozen
class Head:
    """Status line and headers of an answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]

    @property
    def length(self) -> int:
        """Content-Length, or 0 when the server did not say."""
        text = self.headers.get("content-length", "0")
        return int(text) if text.isdigit() else 0


@define(eq=False)
class Connection:
    """An open connection; one exchange at a time."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    idle_since: float = 0.0
    _heard: bool = field(default=False, init=False)
    _state: h11.Connection = field(
        factory=lambda: h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADERS), alias="state"
    )

    async def send(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> Head:
        """Write one request and read the head of its answer."""
        self._heard = False
        request = h11.Request(method=method, target=target, headers=list(headers))
        try:
            self.writer.write(b"".join(self._encoded(request, body)))
            await self.writer.drain()
        except OSError as error:
            raise Lost(_words(error)) from error
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                named = {name.decode(): value.decode("latin-1") for name, value in event.headers}
                return Head(event.status_code, named)

    async def chunk(self) -> bytes | None:
        """The next piece of the body, as it comes; None after the last."""
        event = await self._next()
        return bytes(event.data) if isinstance(event, h11.Data) else None

    def finish(self) -> bool:
        """After a whole answer: whether another exchange may follow."""
        if self._state.our_state is not h11.DONE or self._state.their_state is not h11.DONE:
            return False
        self._state.start_next_cycle()
        return True

    @property
    def stale(self) -> bool:
        """The server closed it, or said something unasked, while it lay idle."""
        return self.reader.at_eof() or self.writer.is_closing() or self._state.trailing_data[0] != b""

    def abort(self) -> None:
        """Close at once, without a goodbye that a dead peer would not answer."""
        self.writer.transport.abort()

    async def closed(self) -> None:
        """Wait until the socket is given back."""
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def _encoded(self, request: h11.Request, body: bytes) -> list[bytes]:
        events: list[h11.Event] = [request, *([h11.Data(data=body)] if body else []), h11.EndOfMessage()]
        return [data for event in events if (data := self._state.send(event))]

    async def _next(self) -> object:
        while True:
            try:
                event = self._state.next_event()
            except h11.RemoteProtocolError as error:
                raise Lost(self._broken(error), answered=self._heard) from error
            if event is not h11.NEED_DATA:
                return event
            try:
                received = await self.reader.read(_READ_SIZE)
            except OSError as error:
                raise Lost(_words(error), answered=self._heard) from error
            self._heard = self._heard or bool(received)
            self._state.receive_data(received)

    def _broken(self, error: h11.RemoteProtocolError) -> str:
        if not self._heard:
            return "the server closed the connection without an answer"
        if self.reader.at_eof():
            return f"the server closed the connection in the middle of its answer: {error}"
        return f"the answer is not HTTP/1.1: {error}"


async def connect(endpoint: Endpoint) -> Connection:
    """Open a connection; of several addresses the one that answers first. Raises Lost."""
    try:
        reader, writer = await asyncio.open_connection(
            endpoint.host,
            endpoint.port,
            ssl=endpoint.tls,
            server_hostname=(endpoint.server_name or endpoint.host) if endpoint.tls else None,
            happy_eyeballs_delay=None if _is_address(endpoint.host) else 0.25,
        )
    except ssl.SSLCertVerificationError as error:
        raise Untrusted(f"its certificate is not trusted: {error.verify_message}") from error
    except (OSError, ssl.SSLError) as error:
        raise Lost(_words(error)) from error
    _keep_alive(writer.get_extra_info("socket"))
    return Connection(reader, writer)


def _is_address(host: str) -> bool:
    """An address needs no race of several; and a race that is broken off loses its winner's socket (CPython 3.11)."""
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        return False
    return True


def _keep_alive(sock: socket.socket) -> None:
    """Let the kernel notice a peer that vanished under a silent watch."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
