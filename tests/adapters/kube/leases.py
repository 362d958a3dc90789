"""An API server with one Lease, whose network delays and loses calls, and candidates for it."""

import asyncio
import contextlib
import random

from nvdra.adapters.kube.election import Election, Terms
from nvdra.api.meta import Meta
from nvdra.api.objects import Lease, LeaseSpec
from nvdra.errors import Again, AlreadyExists, Conflict, NotFound

TERMS = Terms(15, 10.0, 2.0)


class Leases:
    """An API server with one Lease. `network` delays or loses each call, before or after it took effect."""

    def __init__(self):
        self.lease, self.version = None, 0

    def client(self, network=None):
        return Client(self, network)

    def write(self, body, *, create):
        if create and self.lease is not None:
            raise AlreadyExists("taken", code=409)
        if not create:
            if self.lease is None:
                raise NotFound("gone", code=404)
            if body["metadata"].get("resourceVersion", "") != self.lease.metadata.resourceVersion:
                raise Conflict("stale", code=409)
        self.version += 1
        self.lease = Lease(Meta("l", "ns", "u", str(self.version)), LeaseSpec(**body["spec"]))
        return self.lease

    def read(self):
        if self.lease is None:
            raise NotFound("none", code=404)
        return self.lease


class Client:
    def __init__(self, leases, network):
        self.leases, self.network, self.late = leases, network or (lambda: (0.0, 0.0, "ok")), []

    async def _through(self, deed):
        going, coming, fate = self.network()
        if fate == "before":
            await asyncio.sleep(going)
            raise Again("lost on the way")
        if fate == "late":  # it arrives long after we stopped waiting
            self.late.append(asyncio.ensure_future(self._later(going * 5, deed)))
            await asyncio.sleep(going)
            raise Again("no answer in time")
        await asyncio.sleep(going)
        result = deed()
        await asyncio.sleep(coming)
        if fate == "after":
            raise Again("the answer was lost")
        return result

    async def _later(self, seconds, deed):
        await asyncio.sleep(seconds)
        with contextlib.suppress(Again):
            deed()

    async def get(self, kind, name, namespace=""):
        return await self._through(self.leases.read)

    async def create(self, kind, body, namespace=""):
        return await self._through(lambda: self.leases.write(body, create=True))

    async def replace(self, kind, name, body, namespace=""):
        return await self._through(lambda: self.leases.write(body, create=False))


def election(loop, cluster, name, seed=1):
    # Wall clocks that are hours apart: nobody may rely on them.
    return Election(
        cluster,
        "l",
        "ns",
        name,
        TERMS,
        clock=loop.time,
        wall=lambda: loop.time() + hash(name) % 9999,
        rng=random.Random(seed),
    )


async def for_ever():
    await asyncio.Event().wait()


async def until(condition, seconds=120.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.1)


async def stop(*tasks):
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)
