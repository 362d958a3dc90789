"""Pod logs: asked of whoever runs the pods."""

from aiohttp import web

from nvdra.sim.apiserver.exchange import Exchange
from nvdra.sim.apiserver.resources import Ref
from nvdra.sim.apiserver.status import bad_request, not_implemented

_TRUE = ("true", "1")


async def answer(exchange: Exchange, ref: Ref) -> web.StreamResponse:
    """Stream a container's log. `follow` is the provider's business: without it only what is there is read."""
    if exchange.logs is None:
        raise not_implemented("logs: nobody runs pods here")
    query = exchange.query
    pod = exchange.store.get(ref).object
    names = [c["name"] for kind in ("initContainers", "containers") for c in pod["spec"].get(kind) or []]
    container = query.get("container", "")
    if not container and len(pod["spec"].get("containers") or []) > 1:
        raise bad_request(f"a container name must be specified for pod {ref.name}, choose one of: [{' '.join(names)}]")
    container = container or names[-1]
    if container not in names:
        raise bad_request(f"container {container} is not valid for pod {ref.name}")
    previous = query.get("previous") in _TRUE
    chunks = exchange.logs(ref.namespace, ref.name, container, previous)
    if query.get("tailLines") is not None or query.get("limitBytes") is not None:
        pass
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(exchange.request)
    async for chunk in chunks:
        await response.write(chunk)
    return response
