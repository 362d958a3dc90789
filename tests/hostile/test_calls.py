"""The plugin's socket under anything that is sent to it: errors for the sender, and the next call is served."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
from grpc import aio
from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.adapters.kubelet import wire
from nvdra.adapters.kubelet.plugin import ClaimRef, Failure, Prepared
from nvdra.adapters.kubelet.server import PluginServer
from nvdra.adapters.kubelet.sockets import SocketPaths

METHODS = [f"/{service}/{method}" for service in (wire.DRA_V1, wire.DRA_V1BETA1) for method in ("NodePrepareResources", "NodeUnprepareResources")]  # fmt: skip
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Nothing:
    """A plugin that prepares everything as nothing."""

    async def prepare(self, claims: Sequence[ClaimRef]) -> Mapping[str, Prepared | Failure]:
        return {claim.uid: Prepared() for claim in claims}

    async def unprepare(self, claims: Sequence[ClaimRef]) -> Mapping[str, Failure | None]:
        return dict.fromkeys(claim.uid for claim in claims)


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Path]:
    paths = SocketPaths(driver="d", plugins=folder / "p", registry=folder / "r")
    server = PluginServer(plugin=Nothing(), paths=paths)
    await server.start()
    try:
        yield paths.plugins / "d/dra.sock"
    finally:
        await server.stop(grace=0)


async def is_served(channel: aio.Channel) -> bool:
    request = wire.request(wire.DRA_V1, "NodePrepareResources")
    request.claims.add(uid="u", namespace="n", name="c")
    answer = await wire.method(channel, wire.DRA_V1, "NodePrepareResources")(request, timeout=10)
    return "u" in answer.claims


def test_messages_of_any_bytes(tmp_path: Path) -> None:
    """A message that is none is refused with a gRPC status; a good call afterwards is answered."""
    runner = asyncio.Runner()
    stack = contextlib.AsyncExitStack()
    door = runner.run(stack.enter_async_context(serving(tmp_path)))

    @given(st.sampled_from(METHODS), st.binary(max_size=400))
    @settings(max_examples=200)
    def send(method: str, message: bytes) -> None:
        async def once() -> None:
            async with aio.insecure_channel(f"unix:{door}") as channel:
                raw = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
                with contextlib.suppress(aio.AioRpcError):
                    await raw(message, timeout=10)
                assert await is_served(channel)

        runner.run(once())

    try:
        send()
    finally:
        runner.run(stack.aclose())
        runner.close()


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        PREFACE + b"\xff" * 5000,
        PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\xff\xff\xff\x00\x00\xff\xff\xff\xff" * 50,
        b"\0" * 100_000,
        b"",
    ],
    ids=["http", "noise", "frames", "zeros", "nothing"],
)
async def test_noise_on_the_socket(tmp_path: Path, noise: bytes) -> None:
    """Something that speaks no gRPC is left alone; others are served meanwhile and afterwards."""
    async with serving(tmp_path) as door, aio.insecure_channel(f"unix:{door}") as channel:
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(door))
            with contextlib.suppress(ConnectionError):
                stranger.sendall(noise)
            assert await is_served(channel)
        assert await is_served(channel)


async def test_a_message_that_is_too_large(tmp_path: Path) -> None:
    """More than gRPC's own 4 MB is refused without being read."""
    async with serving(tmp_path) as door, aio.insecure_channel(f"unix:{door}") as channel:
        raw = channel.unary_unary(METHODS[0], request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(aio.AioRpcError, match="RESOURCE_EXHAUSTED"):
            await raw(b"\x0a" + b"\x00" * 5_000_000, timeout=10)
        assert await is_served(channel)
