"""The IMEX daemon's answers to the kubelet's probes. No process is started for one."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Mapping

from attrs import define

from nvdra.adapters.http.server import Answer, Handler, HttpServer, Request
from nvdra.domains.imex_daemon.status import Voice
from nvdra.errors import ConfigError

log = logging.getLogger(__name__)
STILL = 60.0
"""A supervision that has not looked at anything for so long is stuck: it looks every few seconds."""


@define
class _Told:
    """What the kubelet was told last."""

    ready: bool = False


def routes(voice: Voice, hold: float, clock: Callable[[], float]) -> Mapping[str, Handler]:
    """`hold`: seconds that the kubelet's probe is held until IMEX is ready; less than the probe's own limit."""
    told = _Told()

    async def wait(_: Request) -> Answer:
        """Held, unless the kubelet takes us for ready and has to hear that we are not."""
        if not told.ready:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(hold):
                    await voice.ready.wait()
        told.ready = voice.status.ready
        return _readiness(voice)

    async def readyz(_: Request) -> Answer:
        return _readiness(voice)

    async def livez(_: Request) -> Answer:
        still = clock() - voice.looked_at
        return Answer(200, b"ok\n") if still < STILL else Answer(503, f"nothing looked at for {still:.0f} s\n".encode())

    return {"/readyz/wait": wait, "/readyz": readyz, "/livez": livez}


async def serve(server: HttpServer, address: str, port: int, door: socket.socket | None = None) -> None:
    """Listen at the pod's address, where a `door` may be open already; on all addresses where that one is not ours."""
    if door is not None:
        await server.start(sock=door)
        return
    try:
        await server.start(address, port)
    except OSError as error:
        log.info("cannot listen at %s port %d (%s): listening on all addresses", address, port, error.strerror or error)
    else:
        return
    try:
        await server.start("", port)
    except OSError as error:
        text = f"cannot answer probes: port {port} of this pod: {error.strerror or error}; is another daemon running?"
        raise ConfigError(text) from error


def _readiness(voice: Voice) -> Answer:
    status = voice.status
    return Answer(
        200 if status.ready else 503, f"{status.reason or ('ok' if status.ready else status.state)}\n".encode()
    )
