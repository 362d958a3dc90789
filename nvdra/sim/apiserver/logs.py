"""Pod logs: asked of whoever runs the pods, cut as the query says."""

from collections import deque
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from nvdra.errors import ApiError
from nvdra.sim.apiserver.exchange import Exchange
from nvdra.sim.apiserver.resources import Ref
from nvdra.sim.apiserver.status import StatusError, bad_request, not_implemented

_TRUE = ("true", "1")
_REFUSED = ("sinceTime", "timestamps")


async def answer(exchange: Exchange, ref: Ref) -> web.StreamResponse:
    """Stream a container's log. The provider ends the stream where the container has ended, else it follows."""
    if exchange.pods.logs is None:
        raise not_implemented("logs: nobody runs pods here")
    query = exchange.query
    for name in _REFUSED:
        if query.get(name) in _TRUE or (name == "sinceTime" and query.get(name)):
            raise not_implemented(f"logs with {name}")
    container = container_of(exchange, ref)
    follow = query.get("follow") in _TRUE
    chunks = exchange.pods.logs(ref.namespace, ref.name, container, query.get("previous") in _TRUE, follow)
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    try:
        async for chunk in _cut(chunks, query, follow=follow):
            if not response.prepared:
                await response.prepare(exchange.request)
            await response.write(chunk)
    except ApiError as error:
        raise StatusError(error.code, error.reason, str(error)) from error
    if not response.prepared:
        await response.prepare(exchange.request)
    return response


def container_of(exchange: Exchange, ref: Ref) -> str:
    """The container that is asked for, or the only one there is."""
    pod = exchange.store.get(ref).object
    spec = pod["spec"]
    names = [c["name"] for kind in ("initContainers", "containers") for c in spec.get(kind) or []]
    asked = exchange.query.get("container", "")
    if not asked and len(spec.get("containers") or []) > 1:
        told = f"a container name must be specified for pod {ref.name}, choose one of: [{' '.join(names)}]"
        raise bad_request(told)
    asked = asked or names[-1]
    if asked not in names:
        raise bad_request(f"container {asked} is not valid for pod {ref.name}")
    return str(asked)


async def _cut(chunks: AsyncIterator[bytes], query: Mapping[str, str], *, follow: bool) -> AsyncIterator[bytes]:
    """The last `tailLines` lines (of what is there now, when following), at most `limitBytes` bytes."""
    left = int(query["limitBytes"]) if query.get("limitBytes") else None
    tail = int(query["tailLines"]) if query.get("tailLines") else None
    if tail is not None and tail >= 0 and not follow:
        chunks = _tail(chunks, tail)
    async for chunk in chunks:
        if left is None:
            yield chunk
            continue
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return


async def _tail(chunks: AsyncIterator[bytes], lines: int) -> AsyncIterator[bytes]:
    content = b"".join([chunk async for chunk in chunks])
    for line in deque(content.splitlines(keepends=True), maxlen=lines):
        yield line
