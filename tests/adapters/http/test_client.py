import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.adapters.http.client import HttpClient, Limits
from nvdra.adapters.http.connection import Endpoint, Unreachable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def ask(port: int, method: str = "GET", limits: Limits | None = None, timeout: float = 5.0):
    client = HttpClient(Endpoint("127.0.0.1", port), limits or Limits())
    try:
        return await client.request(method, "/x", timeout=timeout)
    finally:
        await client.close()


async def test_a_connection_is_used_again(listen, answer):
    """Three requests one after the other need one connection."""
    connections = 0

    async def talk(reader, writer):
        nonlocal connections
        connections += 1
        await answer(OK, OK, OK)(reader, writer)

    client = HttpClient(Endpoint("127.0.0.1", await listen(talk)))
    bodies = [(await client.request("GET", "/x")).body for _ in range(3)]
    await client.close()

    assert (bodies, connections) == ([b"ok"] * 3, 1)


async def test_a_burst_keeps_as_many_connections_as_it_may(listen, answer):
    """Of eight requests at once, and eight more: eight connections where eight are kept, twelve where four are."""

    async def connections(kept):
        made = 0

        async def talk(reader, writer):
            nonlocal made
            made += 1
            await answer(OK, OK)(reader, writer)

        client = HttpClient(Endpoint("127.0.0.1", await listen(talk)), Limits(kept=kept))
        for _ in range(2):
            await asyncio.gather(*(client.request("GET", "/x") for _ in range(8)))
        await client.close()
        return made

    assert (await connections(8), await connections(4)) == (8, 12)


async def test_a_request_is_whole(listen):
    """The server reads method, target, host, headers and body exactly."""
    heard = bytearray()

    async def talk(reader, writer):
        heard.extend(await reader.readuntil(b"\r\n\r\n"))
        heard.extend(await reader.readexactly(4))
        writer.write(OK)
        await reader.read()

    port = await listen(talk)
    client = HttpClient(Endpoint("127.0.0.1", port, prefix="/k8s"))
    await client.request("POST", "/a?b=c", [("Accept", "text/plain")], b"body")
    await client.close()

    assert (
        f"POST /k8s/a?b=c HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/plain\r\nContent-Length: 4\r\n\r\nbody".encode()
        == bytes(heard)
    )


@pytest.mark.parametrize(
    ("method", "succeeds"), [("GET", True), ("PUT", True), ("DELETE", True), ("POST", False), ("PATCH", False)]
)
async def test_a_kept_connection_that_closes_under_a_request(listen, method, succeeds):
    """What is safe to repeat is sent once more on a new connection; what is not is an error."""
    second_begins = asyncio.Event()

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")  # the second request is heard, and the connection closed
        second_begins.set()

    client = HttpClient(Endpoint("127.0.0.1", await listen(talk)))
    await client.request("GET", "/x")
    try:
        if succeeds:
            assert (await client.request(method, "/x")).body == b"ok"
        else:
            with pytest.raises(
                Unreachable,
                match=f"{method} /x at http://127.0.0.1:[0-9]+: the server closed the connection without an answer",
            ):
                await client.request(method, "/x")
    finally:
        await client.close()
    assert second_begins.is_set()


async def test_a_new_connection_that_closes_is_not_tried_again(listen, answer):
    """Only a kept connection may be closed for a harmless reason."""
    connections = 0

    async def talk(reader, writer):
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")

    with pytest.raises(Unreachable, match="closed the connection without an answer"):
        await ask(await listen(talk))
    assert connections == 1


@pytest.mark.parametrize(
    ("given_bytes", "words"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nonly", "in the middle of its answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal", "in the middle of its answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "in the middle of its answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx", "longer than 1000 bytes"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n",
            "longer than 1000 bytes",
        ),
    ],
)
async def test_a_broken_answer_names_its_fault(listen, answer, given_bytes, words):
    """Garbage, truncation and excess are told apart."""
    with pytest.raises(Unreachable, match=words):
        await ask(await listen(answer(given_bytes, close=True)), limits=Limits(body=1000))


async def test_silence_is_bounded(listen, answer):
    """A server that says nothing costs the timeout, no more."""
    with pytest.raises(Unreachable, match=r"GET /x at http://127.0.0.1:\d+: no answer within 0.05 s"):
        await ask(await listen(answer(b"", b"")), timeout=0.05)


async def test_nobody_listens():
    """A refused connection says so."""
    with pytest.raises(Unreachable, match=r"GET /x at http://127.0.0.1:1: .*[Cc]onne"):
        await ask(1)


async def test_no_more_connections_than_allowed(listen):
    """Ten requests at once through two connections never make a third."""
    now = most = 0

    async def talk(reader, writer):
        nonlocal now, most
        now += 1
        most = max(now, most)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(0)
                writer.write(OK)
        finally:
            now -= 1

    client = HttpClient(Endpoint("127.0.0.1", await listen(talk)), Limits(connections=2))
    answers = await asyncio.gather(*(client.request("GET", "/x") for _ in range(10)))
    await client.close()

    assert ({b"ok"}, 2) == ({answer.body for answer in answers}, most)


async def test_informational_answers_are_skipped(listen, answer):
    """A 103 is not the answer."""
    assert (await ask(await listen(answer(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)))).body == b"ok"


async def test_a_stream_comes_as_it_is_sent(listen):
    """Chunks are handed on while the answer is still open, and silence ends it."""
    go = asyncio.Event()

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await go.wait()
        writer.write(b"3\r\ntwo\r\n")
        await reader.read()

    client = HttpClient(Endpoint("127.0.0.1", await listen(talk)))
    async with client.stream("GET", "/x", idle=0.2) as stream:
        chunks = stream.chunks()
        assert await anext(chunks) == b"one"
        go.set()
        assert await anext(chunks) == b"two"
        with pytest.raises(Unreachable, match=r"silent for 0.2 s"):
            await anext(chunks)
    await client.close()


@given(pieces=st.lists(st.integers(1, 40), max_size=30), body=st.binary(max_size=300))
@settings(max_examples=25, deadline=None)
def test_any_cut_of_the_bytes_gives_the_same_body(pieces, body):
    """However the network cuts an answer into packets, the body is what was sent."""

    async def run() -> bytes:
        sent = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"".join(
                b"%x\r\n%s\r\n" % (len(part), part) for part in (body[i : i + 7] for i in range(0, len(body), 7))
            )
            + b"0\r\n\r\n"
        )

        ended = asyncio.Event()

        async def talk(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            at = 0
            for size in [*pieces, len(sent)]:
                writer.write(sent[at : at + size])
                at += size
                await asyncio.sleep(0)
            await reader.read()
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            ended.set()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            found = await ask(server.sockets[0].getsockname()[1])
            await ended.wait()
        return found.body

    assert asyncio.run(run()) == body


@pytest.fixture
def pems(tmp_path: Path) -> Path:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return tmp_path


async def test_tls_trusts_the_given_authority_only(listen, answer, pems: Path):
    """The right authority is accepted, also by IP address; without it the text says that the certificate is not trusted."""
    key, certificate = pems / "key.pem", pems / "cert.pem"
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)
    port = await listen(answer(OK), ssl=server_side)
    trusting, strange = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.load_verify_locations(certificate)

    good = HttpClient(Endpoint("127.0.0.1", port, trusting))
    assert (await good.request("GET", "/x")).body == b"ok"
    await good.close()
    with pytest.raises(Unreachable, match=r"https://127.0.0.1:\d+: its certificate is not trusted: self-signed"):
        await HttpClient(Endpoint("127.0.0.1", port, strange)).request("GET", "/x")


def test_an_ipv6_address_is_bracketed():
    """So it is in the Host header and in texts."""
    assert Endpoint("fd00::1", 443).url == "http://[fd00::1]:443"
