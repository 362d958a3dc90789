"""How instances reach each other: over TCP, or, for many nodes inside one process, by a switchboard in memory.

Both speak asyncio.Protocol, so a link does not know which of the two it hangs on.
"""

import asyncio
import errno
import json
import os
from collections.abc import Callable
from typing import Any, Protocol

Message = dict[str, Any]


class Link(asyncio.Protocol):
    """One connection that carries JSON objects, one a line. It calls back; nobody waits on it."""

    def __init__(
        self,
        on_message: Callable[["Link", Message], None],
        on_closed: Callable[["Link"], None] = lambda _: None,
        on_open: Callable[["Link"], None] = lambda _: None,
    ) -> None:
        self._on_message, self._on_closed, self._on_open = on_message, on_closed, on_open
        self._transport: Any = None
        self._pending = b""
        self.peer = -1
        """The id of the node at the other end, once it has said so."""

    @property
    def open(self) -> bool:
        """Whether it can be written to."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, message: Message) -> None:
        """Send, unless it is closed."""
        if self.open:
            self._transport.write(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        """Close; what was sent before still arrives."""
        if self._transport is not None:
            self._transport.close()

    def failed(self) -> None:
        """It could not be opened."""
        self._on_closed(self)

    def connection_made(self, transport: Any) -> None:
        """Called by the network."""
        self._transport = transport
        self._on_open(self)

    def data_received(self, data: bytes) -> None:
        """Called by the network."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                self.close()
                return
            if isinstance(message, dict):
                self._on_message(self, message)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the network."""
        self._on_closed(self)


class Listener(Protocol):
    """Something that accepts links until it is closed."""

    def close(self) -> None:
        """Accept no more."""
        ...


class Network(Protocol):
    """Opening links and waiting for them."""

    async def listen(self, address: str, port: int, made: Callable[[], Link]) -> Listener:
        """Accept links; OSError when the port is taken."""
        ...

    def dial(self, address: str, port: int, link: Link) -> None:
        """Open a link; it is told whether that worked."""
        ...


class TcpNetwork:
    """The machine's own network."""

    DIAL_LIMIT = 5.0

    def __init__(self) -> None:
        self._dials: set[asyncio.Task[None]] = set()

    async def listen(self, address: str, port: int, made: Callable[[], Link]) -> Listener:
        """Accept links; OSError when the port is taken."""
        return await asyncio.get_running_loop().create_server(made, address or None, port)

    def dial(self, address: str, port: int, link: Link) -> None:
        """Open a link in the background."""
        task = asyncio.get_running_loop().create_task(self._open(address, port, link))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _open(self, address: str, port: int, link: Link) -> None:
        try:
            async with asyncio.timeout(self.DIAL_LIMIT):
                await asyncio.get_running_loop().create_connection(lambda: link, address, port)
        except (OSError, TimeoutError):
            link.failed()


class _MemoryListener:
    def __init__(self, table: dict[tuple[str, int], Callable[[], Link]], key: tuple[str, int]) -> None:
        self._table, self._key = table, key

    def close(self) -> None:
        self._table.pop(self._key, None)


class _MemoryTransport:
    def __init__(self, own: Link) -> None:
        self._own = own
        self._other: _MemoryTransport | None = None
        self._loop = asyncio.get_running_loop()

    def joined(self, other: "_MemoryTransport") -> None:
        self._other = other

    def is_closing(self) -> bool:
        return self._other is None

    def write(self, data: bytes) -> None:
        if self._other is not None:
            self._loop.call_soon(self._other.arrived, data)

    def arrived(self, data: bytes) -> None:
        if self._other is not None:
            self._own.data_received(data)

    def close(self) -> None:
        other, self._other = self._other, None
        if other is not None:
            self._loop.call_soon(self._own.connection_lost, None)
            self._loop.call_soon(other.close)


class MemoryNetwork:
    """A switchboard for one process; addresses are only names here."""

    def __init__(self) -> None:
        self._table: dict[tuple[str, int], Callable[[], Link]] = {}

    async def listen(self, address: str, port: int, made: Callable[[], Link]) -> Listener:
        """Accept links; OSError when the port is taken."""
        key = (address, port)
        if key in self._table:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._table[key] = made
        return _MemoryListener(self._table, key)

    def dial(self, address: str, port: int, link: Link) -> None:
        """Open a link, or tell it that nobody is there."""
        made = self._table.get((address, port))
        if made is None:
            asyncio.get_running_loop().call_soon(link.failed)
            return
        far = made()
        here, there = _MemoryTransport(link), _MemoryTransport(far)
        here.joined(there)
        there.joined(here)
        far.connection_made(there)
        link.connection_made(here)
