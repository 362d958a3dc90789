"""An API server, or whatever stands in its place, that answers anything: errors of ours only, memory in bounds."""

import asyncio
import contextlib
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.adapters.http.connection import Endpoint
from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import Access
from nvdra.adapters.kube.credentials import FixedHeader
from nvdra.api.kinds import NODES
from nvdra.errors import NvdraError

NODE = b'{"kind":"Node","metadata":{"name":"a","uid":"u","resourceVersion":"1","labels":{"x":"y"}}}'
LINE = b'{"type":"MODIFIED","object":' + NODE + b"}\n"
LIST = b'{"metadata":{"resourceVersion":"7","continue":""},"items":[' + NODE + b"]}"
STATUS = b'{"kind":"Status","status":"Failure","reason":"Conflict","code":409,"message":"no","details":{"causes":[{"reason":"r"}]}}'


def whole(code: int, body: bytes, *headers: bytes) -> bytes:
    head = [b"HTTP/1.1 %d Any" % code, b"Content-Length: %d" % len(body), b"Content-Type: application/json", *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def chunked(*parts: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


GOOD = [whole(200, NODE), whole(200, LIST), whole(409, STATUS), whole(410, STATUS), chunked(LINE, LINE), chunked(LIST)]
WORDS = [b"\r\n", b"\n", b"\0", b"{", b"}", b"[", b"]", b"null", b"-1", b"1e999", b'"', b"\xff", b"HTTP/1.1", b"Content-Length: 9\r\n",
         b"Transfer-Encoding: chunked\r\n", b"ffffffff\r\n", b"true", b'"metadata":3,', b'"items":{},', b"0\r\n\r\n"]  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A good answer with pieces cut out, doubled, or other words in their place."""
    answer = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(answer)))
        end = min(len(answer), begin + draw(st.integers(0, 30)))
        answer = answer[:begin] + draw(st.sampled_from([*WORDS, b"", answer[begin:end] * 2])) + answer[end:]
    return answer


async def asked(writes: Callable[[asyncio.StreamWriter], Awaitable[None]], what: str) -> str:
    """Ask such a server once; what the error says, "" when there was an answer. Other errors come through."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await writes(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = KubeClient(
        Access(Endpoint("127.0.0.1", port), FixedHeader(), "default", "here"), "t", qps=1e4, burst=10**4
    )
    try:
        async with asyncio.timeout(20):
            await CALLS[what](client)
    except NvdraError as error:
        return str(error)
    finally:
        await client.close()
        server.close()
    return ""


async def _watch(client: KubeClient) -> None:
    async with contextlib.aclosing(client.watch(NODES, "1")) as events:
        async for _ in events:
            pass


CALLS: dict[str, Callable[[KubeClient], Awaitable[Any]]] = {
    "get": lambda client: client.get(NODES, "a"),
    "list": lambda client: client.list(NODES),
    "patch": lambda client: client.patch(NODES, "a", {"metadata": {"labels": {"x": None}}}),
    "watch": _watch,
    "version": lambda client: client.resource_version_of_api(),
}


@given(st.one_of(spoilt(), st.binary(max_size=300)), st.sampled_from(sorted(CALLS)))
@settings(max_examples=250)
def test_any_answer(answer: bytes, what: str) -> None:
    """It is read, or an error of ours names the request."""

    async def writes(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    said = asyncio.run(asked(writes, what))
    assert not said or "/api" in said
    assert len(said) < 4000


async def _without_end(writer: asyncio.StreamWriter, piece: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    part = b"%x\r\n%s\r\n" % (len(piece), piece)
    while not writer.is_closing():
        writer.write(part)
        await writer.drain()


DEEP = b"[" * 200_000
DEEP_NODE = NODE.replace(b'"y"', DEEP)
DEEP_ANSWERS = [whole(200, DEEP), whole(200, DEEP_NODE), whole(500, DEEP), whole(200, b'{"items":' + DEEP), chunked(DEEP + b"\n"),
                chunked(b'{"type":"MODIFIED","object":' + DEEP_NODE + b"}\n"), chunked(b'{"type":"ERROR","object":' + DEEP + b"}\n")]  # fmt: skip


@pytest.mark.parametrize("what", sorted(CALLS))
@pytest.mark.parametrize("answer", DEEP_ANSWERS, ids=range(len(DEEP_ANSWERS)))
async def test_an_answer_that_is_nested_without_end(what: str, answer: bytes) -> None:
    """No decoder is led so deep that it breaks."""

    async def writes(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    assert await asked(writes, what) or what == "watch"


@pytest.mark.parametrize("what", sorted(CALLS))
async def test_an_answer_without_end(what: str) -> None:
    """No answer of ours is so long: it is broken off, and less than 256 MB were held on the way."""
    tracemalloc.start()
    try:
        said = await asked(lambda writer: _without_end(writer, b" x" * 200_000), what)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "longer than" in said
    assert most < 256 * 2**20


async def test_headers_without_end() -> None:
    """Broken off within 256 kB."""

    async def writes(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X: " + b"y" * 60_000 + b"\r\n")
            await writer.drain()

    assert "/api/v1/nodes" in await asked(writes, "get")
