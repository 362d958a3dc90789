import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def listen():
    """Starts raw servers on 127.0.0.1 and gives their ports; a talk gets each connection's streams."""
    servers, tasks = [], set()

    async def start(talk: Talk, **options) -> int:
        async def accept(reader, writer):
            tasks.add(asyncio.current_task())
            try:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    await talk(reader, writer)
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(accept, "127.0.0.1", 0, **options)
        servers.append(server)
        return server.sockets[0].getsockname()[1]

    yield start
    for server in servers:
        server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def answer():
    """A talk that gives the same bytes to each request."""

    def with_bytes(*answers: bytes, close: bool = False) -> Talk:
        async def talk(reader, writer):
            for given in answers:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(given)
                await writer.drain()
            if not close:
                await reader.read()

        return talk

    return with_bytes
