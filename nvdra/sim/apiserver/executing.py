"""`kubectl exec`: a command in a container of a pod, over a WebSocket with the channels that kubectl speaks."""

import asyncio
import contextlib
from typing import Any, Final

import msgspec
from aiohttp import web

from nvdra.errors import ApiError
from nvdra.sim.apiserver.exchange import Exchange
from nvdra.sim.apiserver.logs import container_of
from nvdra.sim.apiserver.resources import Ref
from nvdra.sim.apiserver.status import bad_request, not_implemented

_PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDOUT, _STATUS = b"\x01", b"\x03"
_TRUE: Final = ("true", "1")


async def answer(exchange: Exchange, ref: Ref) -> web.StreamResponse:
    """Run the command and send what it prints, all of it as standard output; its exit code comes last."""
    argv = command_of(exchange)
    if exchange.pods.execute is None:
        raise not_implemented("exec: nobody runs pods here")
    container = container_of(exchange, ref)
    socket = web.WebSocketResponse(protocols=_PROTOCOLS)
    if not socket.can_prepare(exchange.request).ok:
        raise not_implemented("exec without a WebSocket; kubectl 1.31 and newer asks for one")
    await socket.prepare(exchange.request)
    lines: asyncio.Queue[str] = asyncio.Queue()
    sending = asyncio.ensure_future(_send(socket, lines))
    try:
        status = _ended(await exchange.pods.execute(ref.namespace, ref.name, container, argv, lines.put_nowait))
    except ApiError as error:
        status = _failed(error.reason or "InternalError", str(error), error.code)
    await lines.join()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    with contextlib.suppress(ConnectionError):
        await socket.send_bytes(_STATUS + msgspec.json.encode(status))
        await socket.close()
    return socket


def command_of(exchange: Exchange) -> list[str]:
    """What is to be run; refused when it asks for more than output."""
    query = exchange.request.query
    for name in ("stdin", "tty"):
        if query.get(name) in _TRUE:
            raise not_implemented(f"exec with {name}")
    argv: list[str] = query.getall("command", [])
    if not argv:
        raise bad_request("you must specify at least 1 command for the container")
    return argv


async def _send(socket: web.WebSocketResponse, lines: "asyncio.Queue[str]") -> None:
    while True:
        line = await lines.get()
        with contextlib.suppress(ConnectionError):
            await socket.send_bytes(_STDOUT + line.encode() + b"\n")
        lines.task_done()


def _ended(code: int) -> dict[str, Any]:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    told = _failed("NonZeroExitCode", f"command terminated with non-zero exit code: exit status {code}", 0)
    return {**told, "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]}}


def _failed(reason: str, message: str, code: int) -> dict[str, Any]:
    return {
        "metadata": {},
        "status": "Failure",
        "reason": reason,
        "message": message,
        **({"code": code} if code else {}),
    }
