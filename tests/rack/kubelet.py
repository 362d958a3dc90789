"""A small client of the plugin's socket: the kubelet's calls, straight and at any time."""

from pathlib import Path
from typing import Any

from grpc import aio

from nvdra.adapters.kubelet import wire
from tests.rack.rig import Rig

Claim = dict[str, Any]
PREPARE, UNPREPARE = "NodePrepareResources", "NodeUnprepareResources"


async def prepare(rig: Rig, *claims: Claim, node: str = "node-1", service: str = wire.DRA_V1) -> Any:
    """The answer for the last claim."""
    return await call(rig.plugin_folder(node) / "dra.sock", PREPARE, *claims, service=service)


async def unprepare(rig: Rig, *claims: Claim, node: str = "node-1", service: str = wire.DRA_V1) -> Any:
    """The answer for the last claim."""
    return await call(rig.plugin_folder(node) / "dra.sock", UNPREPARE, *claims, service=service)


async def call(socket: Path, method: str, *claims: Claim, service: str = wire.DRA_V1, limit: float = 45) -> Any:
    """One call. A claim is a ResourceClaim, or anything with uid, namespace and name."""
    own = [("grpc.use_local_subchannel_pool", 1)]  # else it shares the back-off of the kubelet's own connection
    async with aio.insecure_channel(f"unix:{socket}", own) as channel:
        request = wire.request(service, method)
        for claim in claims:
            meta = claim.get("metadata", claim)
            request.claims.add(uid=meta["uid"], namespace=meta["namespace"], name=meta["name"])
        answer = await wire.method(channel, service, method)(request, timeout=limit)
        return answer.claims[request.claims[-1].uid]


def devices(answer: Any) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    """What was prepared, as plain values."""
    assert not answer.error, answer.error
    return [(d.pool_name, d.device_name, tuple(d.request_names), tuple(d.cdi_device_ids)) for d in answer.devices]
