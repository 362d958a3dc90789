"""ResourceSlices in memory, with an API server's manners and mishaps, and a publisher of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from attrs import define, field

from nvdra.adapters.slices import SlicePublisher
from nvdra.api.kind import Kind
from nvdra.api.meta import Meta
from nvdra.api.objects import Node
from nvdra.api.resources import Attribute, Device, ResourceSlice
from nvdra.errors import Conflict, Gone, NotFound
from nvdra.ports import Json, Listing, WatchEvent

NODE, DRIVER = "node-a", "compute-domain.nvidia.com"
CHANNEL = Device("channel-0", {"type": Attribute(string="channel"), "id": Attribute(int=0)})
DAEMON = Device("daemon-0", {"type": Attribute(string="daemon"), "id": Attribute(int=0)})
WITH_CLIQUE = Device("daemon-0", {**DAEMON.attributes, "clique": Attribute(string="u.1")})


@define
class World:
    """An API server of slices and one node, that keeps what it is given and refuses what the real one refuses."""

    slices: dict[str, Json] = field(factory=dict)
    node_uid: str = "n-1"
    asked: list[str] = field(factory=list)
    clock: int = 0
    expired: int = 0
    before_write: Callable[[], None] = lambda: None
    drops: Callable[[Json], None] = lambda body: None
    fails: Callable[[str], None] = lambda verb: None
    loses: Callable[[str], None] = lambda verb: None
    """Called after a write took effect: what it raises is all that the writer hears."""
    told: list[tuple[int, WatchEvent[Any]]] = field(factory=list)
    news: asyncio.Event = field(factory=asyncio.Event)

    @property
    def writes(self) -> list[str]:
        return [verb for verb in self.asked if verb in ("create", "patch", "delete")]

    def put(self, name: str, body: Json) -> Json:
        self.clock += 1
        kind = "MODIFIED" if name in self.slices else "ADDED"
        uid = self.slices[name]["metadata"]["uid"] if name in self.slices else f"uid-{self.clock}"
        meta = body["metadata"] | {"name": name, "resourceVersion": str(self.clock), "uid": uid}
        self.slices[name] = body | {"metadata": meta}
        self.tell(kind, self.slices[name])
        return self.slices[name]

    def drop(self, name: str) -> None:
        self.clock += 1
        gone = self.slices.pop(name)
        self.tell("DELETED", gone | {"metadata": gone["metadata"] | {"resourceVersion": str(self.clock)}})

    def tell(self, kind: Any, body: Json) -> None:
        self.told.append((self.clock, WatchEvent(kind, msgspec.convert(body, ResourceSlice))))
        self.news.set()

    def expire(self) -> None:
        """Compaction: watches of before end with 410, and what happened is not told."""
        self.expired = self.clock
        self.news.set()

    def asks(self, verb: str) -> None:
        self.asked.append(verb)
        self.fails(verb)

    async def get(self, kind: Kind[Any], name: str, namespace: str = "") -> Any:
        raise NotImplementedError

    async def list(self, kind: Kind[Any], namespace: str = "", *, labels: str = "", fields: str = "") -> Any:
        assert fields == f"spec.driver={DRIVER},spec.nodeName={NODE}"
        self.asks("list")
        ours = [s for s in self.slices.values() if (s["spec"]["driver"], s["spec"]["nodeName"]) == (DRIVER, NODE)]
        return Listing(tuple(msgspec.convert(s, ResourceSlice) for s in ours), str(self.clock))

    async def watch(
        self, kind: Kind[Any], version: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent[Any]]:
        self.asks("watch")
        at = int(version)
        while True:
            if at < self.expired:
                raise Gone("too old", code=410)
            for clock, event in [told for told in self.told if told[0] > at]:
                at = clock
                yield event
            self.news.clear()
            await self.news.wait()

    async def create(self, kind: Kind[Any], body: Json, namespace: str = "") -> Any:
        assert body["apiVersion"] == kind.api_version
        assert body["metadata"]["ownerReferences"][0]["uid"] == self.node_uid
        self.asks("create")
        self.drops(body)
        made = msgspec.convert(self.put(body["metadata"]["generateName"] + f"{self.clock:05}", body), ResourceSlice)
        self.loses("create")
        return made

    async def patch(self, kind: Kind[Any], name: str, patch: Any, namespace: str = "", **how: Any) -> Any:
        self.before_write()
        if name not in self.slices:
            raise NotFound(f"no slice {name}", code=404)
        there = self.slices[name]
        if patch["metadata"]["resourceVersion"] != there["metadata"]["resourceVersion"]:
            raise Conflict("changed meanwhile", code=409)
        self.asks("patch")
        self.drops(patch)
        body = there | {"spec": there["spec"] | patch["spec"]}
        return msgspec.convert(self.put(name, body), ResourceSlice)

    async def replace(self, *args: Any) -> Any:
        raise NotImplementedError

    async def delete(self, kind: Any, name: str, namespace: str = "", *, uid: str = "", version: str = "") -> None:
        if name in self.slices:
            meta = self.slices[name]["metadata"]
            assert (uid, version) == (meta["uid"], meta["resourceVersion"])
            self.asks("delete")
            self.drop(name)

    def specs(self) -> Sequence[Json]:
        return [body["spec"] for body in self.slices.values()]


def a_slice(generation: int = 1, pool: str = NODE, devices: Any = (), count: int = 1) -> Json:
    spec = {
        "driver": DRIVER,
        "nodeName": NODE,
        "pool": {"name": pool, "generation": generation, "resourceSliceCount": count},
        "devices": list(devices),
    }
    return {"metadata": {}, "spec": spec}


@define
class Owner:
    """The node's object: remembered, or read."""

    world: World
    last: Node | None = None

    async def known(self) -> Node:
        return self.last or await self.read()

    async def read(self) -> Node:
        if not self.world.node_uid:
            raise NotFound("no such node", code=404)
        self.last = Node(metadata=Meta(name=NODE, uid=self.world.node_uid))
        return self.last


def publisher(world: World, version: str = "v1") -> SlicePublisher:
    return SlicePublisher(world, version, NODE, DRIVER, Owner(world))


def attributes(device: Mapping[str, Any]) -> Any:
    return (device.get("basic") or device)["attributes"]


def devices_in(world: World) -> list[list[str]]:
    return [[device["name"] for device in spec["devices"]] for spec in world.specs()]


@asynccontextmanager
async def following(slices: SlicePublisher, *devices: Device) -> AsyncIterator[None]:
    """A publisher at work, that has had a minute for these devices."""
    task = asyncio.create_task(slices.run())
    try:
        if devices:
            slices.publish(devices)
        await asyncio.sleep(60)
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
