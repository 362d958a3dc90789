"""Our pool of devices in the API: ResourceSlices of this node, made to be exactly what was published.

The kubelet wipes them (at its start, and when we were away for 30 s); a watch sees that and they are made anew at once.
One list, one watch, and one writer that rests on what they told: a start costs a list, a write and a watch.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from attrs import define, field, frozen

from nvdra.adapters.kube.backoff import Backoff
from nvdra.adapters.kube.reflector import Reflector
from nvdra.adapters.looptime import a_generator
from nvdra.api.kind import Kind
from nvdra.api.kinds import RESOURCE_SLICES
from nvdra.api.objects import Node
from nvdra.api.resources import Attribute, Device, Pool, ResourceSlice
from nvdra.engine.queue import Key
from nvdra.engine.store import Store
from nvdra.errors import Again, ApiError, Conflict, NotFound, NotYet, Refused
from nvdra.ports import Cluster, Json

log = logging.getLogger(__name__)

MAX_DEVICES: Final = 64
"""What one slice may hold in every version of Kubernetes, taints included."""
QUIET_TRIES: Final = 4
"""So many conflicts in a row are nothing to talk about: somebody wrote in between, and the watch tells what."""
RETRY: Final = (0.5, 30.0)
_POOL: Final = Key("slices", "pool")


class Owner(Protocol):
    """The Node that owns our slices."""

    async def known(self) -> Node:
        """As it was seen last; read when it was not seen yet."""
        ...

    async def read(self) -> Node:
        """As it is."""
        ...


@frozen
class _Plan:
    """What to do with the slices that are there: the one to keep, those that go, the generation of what stays."""

    keep: ResourceSlice | None
    obsolete: tuple[ResourceSlice, ...]
    generation: int


@define(eq=False)
class SlicePublisher:
    """Keeps the one pool of `driver` on `node` in `version` of resource.k8s.io ("v1", "v1beta2", "v1beta1")."""

    cluster: Cluster
    version: str
    node: str
    driver: str
    owner: Owner
    _wanted: tuple[Device, ...] | None = field(default=None, init=False)
    _stored: tuple[Device, ...] | None = field(default=None, init=False)
    _made: bool = field(default=False, init=False)
    _doubtful: bool = field(default=False, init=False)
    """A create got no answer: whether the slice is there is looked up before another is made."""
    _there: Store = field(init=False)
    _wake: asyncio.Event = field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        """Whatever becomes of our slices wakes the writer; so does the first complete list."""
        self._there = Store(lambda _: self._wake.set())
        self._there.concern(self._kind, lambda _: [_POOL])
        self._there.impatient.add(_POOL)

    def publish(self, devices: Sequence[Device]) -> None:
        """The node's pool is to be exactly these devices, in this order; run() sees to it. The same again is free."""
        if len(devices) > MAX_DEVICES:
            raise Refused(
                f"{len(devices)} devices of {self.driver}: more than {MAX_DEVICES} in a slice are not done yet"
            )
        wanted = _flat(devices)
        if wanted != self._wanted:
            self._wanted = self._stored = wanted
            self._wake.set()

    async def run(self) -> None:
        """Follow our slices, and keep them as they were published. Runs until cancelled."""
        reflector = Reflector(self.cluster, self._kind, self._there, fields=self._selector)
        async with asyncio.TaskGroup() as group:
            group.create_task(reflector.run())
            group.create_task(self._keep())

    async def _keep(self) -> None:
        """The only writer. What failed is tried again, after the time that the server asked for if it did."""
        backoff, tries, said = Backoff(*RETRY, a_generator()), 0, ""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._repair()
            except (Again, Refused) as error:
                tries += 1
                if str(error) != said and not (isinstance(error, Conflict | NotFound) and tries <= QUIET_TRIES):
                    said = str(error)
                    log.warning("ResourceSlices of %s on %s: %s", self.driver, self.node, error)
                backoff.at_least(getattr(error, "after", None) or 0.0)
                await asyncio.sleep(backoff.next())
                self._wake.set()
            else:
                backoff.reset()
                tries, said = 0, ""

    async def _repair(self) -> None:
        """Compare with what is known to be there, write what differs; a write on top of stale sight is a Conflict."""
        if self._wanted is None:
            return
        try:
            self._there.require(self._kind)
        except NotYet:
            return  # the first list wakes us
        if self._doubtful:
            await self._look()
        plan = self._plan(self._there.all(self._kind))
        for slice_ in plan.obsolete:
            meta = slice_.metadata
            await self.cluster.delete(self._kind, meta.name, uid=meta.uid, version=meta.resourceVersion)
        if plan.keep is None:
            await self._create(plan.generation)
        elif self._differs(plan.keep, plan.generation):
            await self._patch(plan.keep, plan.generation)

    async def _look(self) -> None:
        """Live, for what the watch has not told yet."""
        for slice_ in (await self.cluster.list(self._kind, fields=self._selector)).items:
            self._there.learn(self._kind, slice_)
        self._doubtful = False

    async def _create(self, generation: int) -> None:
        body = await self._manifest(generation)
        self._doubtful = True
        try:
            made = await self.cluster.create(self._kind, body)
        except ApiError:
            self._doubtful = False
            raise
        self._doubtful, self._made = False, True
        self._adopt(made)

    async def _patch(self, slice_: ResourceSlice, generation: int) -> None:
        patch: Json = {
            "metadata": {"resourceVersion": slice_.metadata.resourceVersion},
            "spec": {"pool": self._pool(generation), "devices": self._devices()},
        }
        self._adopt(await self.cluster.patch(self._kind, slice_.metadata.name, patch))

    @property
    def _kind(self) -> Kind[ResourceSlice]:
        return RESOURCE_SLICES.at(self.version)

    @property
    def _selector(self) -> str:
        return f"spec.driver={self.driver},spec.nodeName={self.node}"

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
        self._there.learn(self._kind, slice_)

    async def _manifest(self, generation: int) -> Json:
        try:  # a slice of ours that went may have gone with its owner
            owner = await (self.owner.read() if self._made else self.owner.known())
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
