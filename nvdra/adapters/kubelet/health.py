"""grpc.health.v1 for the kubelet's probes: serving means that both sockets answer as the kubelet would call them."""

from pathlib import Path
from typing import Final

import grpc
from attrs import frozen
from grpc import aio

from nvdra.adapters.kubelet import wire
from nvdra.adapters.kubelet.services import Call
from nvdra.adapters.kubelet.sockets import address_of

SERVICES: Final = ("", "liveness")
SERVING: Final = 1
NOT_SERVING: Final = 2
CHECK_SECONDS: Final = 1.0


@frozen
class HealthService:
    """The Check method over these two sockets."""

    registration: Path
    dra: Path

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a server needs to serve it."""
        return wire.handlers(wire.HEALTH, {"Check": self._check})

    async def _check(self, request: wire.Message, call: Call) -> wire.Message:
        if request.service not in SERVICES:
            await call.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}: ask for '' or 'liveness'")
        # Nothing to prepare is prepared at once: an empty request proves the way without touching a claim.
        alive = await _answers(self.registration, wire.REGISTRATION, "GetInfo") and await _answers(
            self.dra, wire.DRA_V1, "NodePrepareResources"
        )
        return wire.response(wire.HEALTH, "Check", status=SERVING if alive else NOT_SERVING)


async def _answers(path: Path, service: str, method: str) -> bool:
    async with aio.insecure_channel(address_of(path)) as channel:
        try:
            await wire.method(channel, service, method)(wire.request(service, method), timeout=CHECK_SECONDS)
        except aio.AioRpcError:
            return False
    return True
