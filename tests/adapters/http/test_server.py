import asyncio

import pytest

from nvdra.adapters.http.client import HttpClient
from nvdra.adapters.http.connection import Endpoint
from nvdra.adapters.http.server import Answer, HttpServer, Request, ServerLimits


class Held:
    """A handler that holds its answer until told."""

    def __init__(self) -> None:
        self.let_go, self.began, self.given_up = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, request: Request) -> Answer:
        self.began.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        return Answer(200, b"ready\n")


async def echo(request: Request) -> Answer:
    return Answer(200, f"{request.method} {request.path} {request.query}".encode())


async def broken(request: Request) -> Answer:
    raise KeyError("no such thing")


@pytest.fixture
def held():
    return Held()


@pytest.fixture
async def server(held):
    server = HttpServer(
        {"/echo": echo, "/held": held, "/broken": broken}, ServerLimits(connections=8, head_seconds=0.3)
    )
    await server.start("127.0.0.1")
    yield server
    await server.stop()


@pytest.fixture
async def client(server):
    client = HttpClient(Endpoint("127.0.0.1", server.port))
    yield client
    await client.close()


async def raw(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.transport.abort()


async def test_routes(client):
    """A known path is answered by its handler, another one names those that are there."""
    assert (await client.request("GET", "/echo?a=b")).body == b"GET /echo a=b"
    missing = await client.request("GET", "/nothing")
    assert (missing.status, b"/echo, /held" in missing.body) == (404, True)
    assert (await client.request("POST", "/echo", body=b"x")).status == 405


async def test_head_has_no_body(client):
    """HEAD answers like GET, without the body."""
    answer = await client.request("HEAD", "/echo")
    assert (answer.status, answer.body) == (200, b"")


async def test_a_broken_handler_is_a_500_and_a_line(client, caplog):
    """A fault in a handler is an answer, never a dropped connection."""
    assert (await client.request("GET", "/broken")).status == 500
    assert "no such thing" in caplog.text


async def test_a_held_answer_holds_up_nobody_else(client, held):
    """While one request is held, others are answered; then it is answered too."""
    waiting = asyncio.ensure_future(client.request("GET", "/held"))
    await held.began.wait()
    assert (await client.request("GET", "/echo")).status == 200
    assert not waiting.done()
    held.let_go.set()
    assert (await waiting).body == b"ready\n"


async def test_who_leaves_is_not_waited_for(server, held):
    """A held handler is cancelled when the prober closes its connection."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
    await held.began.wait()
    writer.close()
    async with asyncio.timeout(5):
        await held.given_up.wait()


async def test_stop_gives_up_what_is_held(held):
    """Stopping does not wait for held requests."""
    server = HttpServer({"/held": held})
    await server.start("127.0.0.1")
    client = HttpClient(Endpoint("127.0.0.1", server.port))
    waiting = asyncio.ensure_future(client.request("GET", "/held"))
    await held.began.wait()
    async with asyncio.timeout(5):
        await server.stop()
    assert held.given_up.is_set()
    assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], Exception)
    await client.close()


async def test_pipelined_requests_are_answered_in_order(server):
    """Two requests in one packet are two answers."""
    one = b"GET /echo?%d HTTP/1.1\r\nHost: x\r\n%s\r\n"
    answers = await raw(server.port, one % (1, b"") + one % (2, b"Connection: close\r\n"))
    assert 0 < answers.index(b"GET /echo 1") < answers.index(b"GET /echo 2")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01 hello TLS\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", b"431"),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n" + b"x" * 90_000, b"413"),
        (b"GET /echo HTTP/1.1\r\nHo", b""),
        (b"", b""),
    ],
)
async def test_bad_clients_are_shown_the_door(server, sent, status):
    """Garbage and excess get their status; a client that never finishes is cut off."""
    try:
        answer = await raw(server.port, sent)
    except ConnectionResetError:
        answer = b""  # it was cut off while bytes of ours were on their way
        assert status in {b"", b"413", b"431"}
    if answer or not status:
        assert status == answer[9:12]


async def test_more_connections_than_allowed_are_told(server):
    """The ninth visitor of eight gets a 503 at once, and the first is still served."""
    visits = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(8)]
    assert (await raw(server.port, b"")).startswith(b"HTTP/1.1 503")
    for _, writer in visits:
        writer.transport.abort()


async def test_an_ipv6_socket_serves_ipv4_too():
    """One socket for both, shown on the one IPv6 address that stays within 127.0.0.0/8."""
    server = HttpServer({"/echo": echo})
    await server.start("::ffff:127.0.0.1")
    client = HttpClient(Endpoint("127.0.0.1", server.port))
    assert (await client.request("GET", "/echo")).status == 200
    await client.close()
    await server.stop()
