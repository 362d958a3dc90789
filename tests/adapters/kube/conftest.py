import asyncio
import contextlib
import json
import random
import selectors
from collections import deque

import pytest
from attrs import define, field, frozen

from nvdra.adapters.http.connection import Endpoint
from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import Access
from nvdra.adapters.kube.credentials import FixedHeader


@frozen
class Asked:
    method: str
    target: str
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def reply(status=200, body: object = b"", **headers) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} Any",
        f"Content-Length: {len(content)}",
        *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def failure(status, reason="", message="no", **details) -> dict:
    return {
        "kind": "Status",
        "status": "Failure",
        "code": status,
        "reason": reason,
        "message": message,
        "details": details,
    }


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(*events: object) -> bytes:
    data = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    return b"%x\r\n%s\r\n" % (len(data), data)


END = b"0\r\n\r\n"


@define(eq=False)
class Script:
    """A server that gives prepared answers, one a request, and remembers what was asked. None closes the connection."""

    port: int = 0
    answers: deque = field(factory=deque)
    asked: list = field(factory=list)
    tasks: set = field(factory=set)

    def gives(self, *answers) -> "Script":
        self.answers.extend(answers)
        return self

    async def talk(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                    method, target, _ = head[0].split()
                    headers = dict(line.split(": ", 1) for line in head[1:] if line)
                    body = await reader.readexactly(int(headers.get("Content-Length", 0)))
                    self.asked.append(Asked(method, target, headers, body))
                    answer = self.answers.popleft() if self.answers else b""
                    if answer is None:
                        return
                    writer.write(answer)
        finally:
            writer.transport.abort()


@pytest.fixture
async def script():
    script = Script()
    server = await asyncio.start_server(script.talk, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    yield script
    server.close()
    for task in script.tasks:
        task.cancel()
    await asyncio.gather(*script.tasks, return_exceptions=True)


@pytest.fixture
async def client_of():
    """Makes clients of a port, and closes them."""
    made = []

    def make(port: int, credentials=None, **options) -> KubeClient:
        access = Access(Endpoint("127.0.0.1", port), credentials or FixedHeader("Bearer secret"), where="a test")
        made.append(KubeClient(access, "test", **({"rng": random.Random(1)} | options)))
        return made[-1]

    yield make
    for client in made:
        await client.close()


@pytest.fixture
def client(script, client_of):
    return client_of(script.port)


class _VirtualSelector(selectors.DefaultSelector):
    loop = None

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout:
            self.loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only when everybody waits, and then at once."""

    def __init__(self):
        self.now = 1000.0
        selector = _VirtualSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self):
        return self.now


@pytest.fixture
def virtually():
    """Runs a coroutine function in virtual time; it gets the loop, whose time() is the clock."""
    return _virtually


@pytest.fixture
def wire():
    """The words of the scripted server."""

    class Wire:
        reply, failure, chunk, CHUNKED, END = (
            staticmethod(reply),
            staticmethod(failure),
            staticmethod(chunk),
            CHUNKED,
            END,
        )

    return Wire


@pytest.fixture(scope="session")
def virtually_once():
    """`virtually` for hypothesis, which runs many examples under one fixture."""
    return _virtually


def _virtually(main):
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
