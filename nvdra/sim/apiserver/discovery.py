"""What there is: versions, groups, resources, health."""

import msgspec
from aiohttp import web

from nvdra.sim.apiserver.status import no_such_resource
from nvdra.sim.apiserver.store import ObjectStore


def answer(store: ObjectStore, request: web.Request) -> web.Response:
    """Answer a path that is not a resource's."""
    if request.path.rstrip("/") in ("/healthz", "/readyz", "/livez"):
        return web.Response(text="ok")
    if request.path == "/sim/counters":
        return web.Response(body=msgspec.json.encode(store.counters.snapshot().json()), content_type="application/json")
    raise no_such_resource()
