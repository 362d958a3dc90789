"""Our pool of devices in the API: ResourceSlices of this node, made to be exactly what was published.

The kubelet wipes them (at its start, and when we were away for 30 s); a watch sees that and they are made anew at once.
A watch only wakes: what is compared and written rests on a live list, so stale sight writes nothing wrong.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from attrs import define, field, frozen

from nvdra.api.kind import Kind
from nvdra.api.kinds import NODES, RESOURCE_SLICES
from nvdra.api.resources import Attribute, Device, Pool, ResourceSlice
from nvdra.errors import Again, Conflict, Gone, NotFound, Refused
from nvdra.ports import Cluster, Json, WatchEvent

log = logging.getLogger(__name__)

MAX_DEVICES: Final = 64
"""What one slice may hold in every version of Kubernetes, taints included."""
ATTEMPTS: Final = 5
RETRY_SECONDS: Final = 5.0


@frozen
class _Plan:
    """What to do with the slices that are there: the one to keep, those that go, the generation of what stays."""

    keep: ResourceSlice | None
    obsolete: tuple[ResourceSlice, ...]
    generation: int


@define
class SlicePublisher:
    """Publishes the one pool of `driver` on `node` in `version` of resource.k8s.io ("v1", "v1beta2", "v1beta1")."""

    cluster: Cluster
    version: str
    node: str
    driver: str
    retry: float = RETRY_SECONDS
    _wanted: tuple[Device, ...] | None = field(default=None, init=False)
    _stored: tuple[Device, ...] | None = field(default=None, init=False)
    _written: tuple[str, str] = field(default=("", ""), init=False)
    _settled: bool = field(default=False, init=False)
    _watched: bool = field(default=False, init=False)
    _lock: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def publish(self, devices: Sequence[Device]) -> None:
        """Make the node's pool be exactly these devices, in this order; nothing is written when nothing differs."""
        if len(devices) > MAX_DEVICES:
            raise Refused(
                f"{len(devices)} devices of {self.driver}: more than {MAX_DEVICES} in a slice are not done yet"
            )
        wanted = _flat(devices)
        if wanted == self._wanted and self._watched and self._settled:
            return
        if wanted != self._wanted:
            self._wanted = self._stored = wanted
        await self._sync()

    async def run(self) -> None:
        """Follow our slices, and repair whatever happens to them. Runs until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            earliest = clock() + self.retry
            try:
                await self._follow()
            except Gone:
                pass  # list again
            except (Again, Refused) as error:
                log.warning("ResourceSlices of %s on %s: %s", self.driver, self.node, error)
            finally:
                self._watched = False
            # A watch that lasted is followed by the next at once, one that broke off early is not.
            await asyncio.sleep(max(0.0, earliest - clock()))

    async def _follow(self) -> None:
        """One list, one watch; returns when the server ends it."""
        listing = await self.cluster.list(self._kind, fields=self._selector)
        await self._repair()
        self._watched = True
        async for event in self.cluster.watch(self._kind, listing.version, fields=self._selector):
            if event.type != "BOOKMARK" and not self._own(event):
                self._settled = False
                await self._repair()

    def _own(self, event: WatchEvent[ResourceSlice]) -> bool:
        """What we wrote and nobody has touched since: told to us by its answer already."""
        meta = event.object.metadata
        return event.type != "DELETED" and (meta.uid, meta.resourceVersion) == self._written

    async def _repair(self) -> None:
        if self._wanted is not None:
            await self._sync()

    @property
    def _kind(self) -> Kind[ResourceSlice]:
        return RESOURCE_SLICES.at(self.version)

    @property
    def _selector(self) -> str:
        return f"spec.driver={self.driver},spec.nodeName={self.node}"

    async def _sync(self) -> None:
        """One at a time, for two would both find nothing there and both create. Conflicts are looked at anew."""
        async with self._lock:
            self._settled = False
            for _ in range(ATTEMPTS):
                with suppress(Conflict, NotFound):
                    await self._attempt()
                    self._settled = True
                    return
        raise Again(f"ResourceSlices of {self.driver} on {self.node}: others keep writing to them")

    async def _attempt(self) -> None:
        there = await self.cluster.list(self._kind, fields=self._selector)
        plan = self._plan(there.items)
        for slice_ in plan.obsolete:
            meta = slice_.metadata
            await self.cluster.delete(self._kind, meta.name, uid=meta.uid, version=meta.resourceVersion)
        if plan.keep is None:
            self._adopt(await self.cluster.create(self._kind, await self._manifest(plan.generation)))
        elif self._differs(plan.keep, plan.generation):
            meta = plan.keep.metadata
            patch: Json = {
                "metadata": {"resourceVersion": meta.resourceVersion},
                "spec": {"pool": self._pool(plan.generation), "devices": self._devices()},
            }
            self._adopt(await self.cluster.patch(self._kind, meta.name, patch))

    def _plan(self, there: Sequence[ResourceSlice]) -> _Plan:
        """The newest slice of our pool stays. The generation rises only where slices of the pool are replaced."""
        pool = [s for s in there if s.spec.pool.name == self.node]
        newest = max((s.spec.pool.generation for s in pool), default=0)
        current = sorted((s for s in pool if s.spec.pool.generation == newest), key=lambda s: s.metadata.name)
        usable = [s for s in current if not s.metadata.deleting]
        keep = usable[0] if usable else None
        return _Plan(
            keep=keep,
            obsolete=tuple(s for s in there if s is not keep and not s.metadata.deleting),
            generation=newest if keep else newest + 1,
        )

    def _differs(self, slice_: ResourceSlice, generation: int) -> bool:
        spec = slice_.spec
        pool = Pool(name=self.node, generation=generation, resourceSliceCount=1)
        return spec.pool != pool or _flat(spec.devices) != self._stored

    def _adopt(self, slice_: ResourceSlice) -> None:
        """What the server made of it is right from now on: fields that it drops would else be sent for ever."""
        stored = _flat(slice_.spec.devices)
        if stored not in (self._wanted, self._stored):
            log.warning("the API server keeps another ResourceSlice than was sent: %s, not %s", stored, self._wanted)
        self._stored = stored
        self._written = (slice_.metadata.uid, slice_.metadata.resourceVersion)

    async def _manifest(self, generation: int) -> Json:
        try:
            owner = await self.cluster.get(NODES, self.node)
        except NotFound as error:
            raise Again(f"no ResourceSlice without its owner: there is no Node {self.node}") from error
        return {
            "apiVersion": self._kind.api_version,
            "kind": self._kind.kind,
            "metadata": {
                # The index in front gives the order that schedulers of 1.36 and newer allocate in.
                "generateName": f"00000-{self.driver}-{self.node}-",
                "ownerReferences": [
                    {
                        "apiVersion": "v1",
                        "kind": "Node",
                        "name": self.node,
                        "uid": owner.metadata.uid,
                        "controller": True,
                    }
                ],
            },
            "spec": {
                "driver": self.driver,
                "nodeName": self.node,
                "pool": self._pool(generation),
                "devices": self._devices(),
            },
        }

    def _pool(self, generation: int) -> Json:
        return {"name": self.node, "generation": generation, "resourceSliceCount": 1}

    def _devices(self) -> list[Json]:
        return [_device(device, basic=self.version == "v1beta1") for device in self._wanted or ()]


def _flat(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Without v1beta1's extra level."""
    return tuple(Device(name=d.name, attributes=d.basic.attributes if d.basic else d.attributes) for d in devices)


def _device(device: Device, *, basic: bool) -> Json:
    attributes = {name: _attribute(value) for name, value in device.attributes.items()}
    if basic:
        return {"name": device.name, "basic": {"attributes": attributes}}
    return {"name": device.name, "attributes": attributes}


def _attribute(value: Attribute) -> Json:
    given = {"string": value.string, "int": value.int, "bool": value.bool, "version": value.version}
    return {name: item for name, item in given.items() if item is not None}
