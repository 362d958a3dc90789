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
    writes: list[str] = field(factory=list)
    lists: int = 0
    clock: int = 0
    before_write: Callable[[], None] = lambda: None
    drops: Callable[[Json], None] = lambda body: None
    watchers: list[asyncio.Queue[WatchEvent[Any]]] = field(factory=list)

    def put(self, name: str, body: Json) -> Json:
        self.clock += 1
        kind = "MODIFIED" if name in self.slices else "ADDED"
        meta = body["metadata"] | {"name": name, "resourceVersion": str(self.clock), "uid": f"uid-of-{name}"}
        self.slices[name] = body | {"metadata": meta}
        self.tell(kind, self.slices[name])
        return self.slices[name]

    def drop(self, name: str) -> None:
        self.clock += 1
        self.tell("DELETED", self.slices.pop(name))

    def tell(self, kind: Any, body: Json) -> None:
        for watcher in self.watchers:
            watcher.put_nowait(WatchEvent(kind, msgspec.convert(body, ResourceSlice)))

    async def get(self, kind: Kind[Any], name: str, namespace: str = "") -> Any:
        if not self.node_uid or name != NODE:
            raise NotFound("no such node", code=404)
        return kind.type(metadata=Meta(name=name, uid=self.node_uid))

    async def list(self, kind: Kind[Any], namespace: str = "", *, labels: str = "", fields: str = "") -> Any:
        assert fields == f"spec.driver={DRIVER},spec.nodeName={NODE}"
        self.lists += 1
        ours = [s for s in self.slices.values() if (s["spec"]["driver"], s["spec"]["nodeName"]) == (DRIVER, NODE)]
        return Listing(tuple(msgspec.convert(s, ResourceSlice) for s in ours), str(self.clock))

    async def watch(
        self, kind: Kind[Any], version: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent[Any]]:
        queue: asyncio.Queue[WatchEvent[Any]] = asyncio.Queue()
        self.watchers.append(queue)
        try:
            while True:
                event = await queue.get()
                if event.type == "BOOKMARK":
                    raise Gone("too old", code=410)
                yield event
        finally:
            self.watchers.remove(queue)

    async def create(self, kind: Kind[Any], body: Json, namespace: str = "") -> Any:
        assert body["apiVersion"] == kind.api_version
        assert body["metadata"]["ownerReferences"][0]["uid"] == self.node_uid
        self.writes.append("create")
        self.drops(body)
        return msgspec.convert(self.put(body["metadata"]["generateName"] + f"{self.clock:05}", body), ResourceSlice)

    async def patch(self, kind: Kind[Any], name: str, patch: Any, namespace: str = "", **how: Any) -> Any:
        self.before_write()
        if name not in self.slices:
            raise NotFound(f"no slice {name}", code=404)
        there = self.slices[name]
        if patch["metadata"]["resourceVersion"] != there["metadata"]["resourceVersion"]:
            raise Conflict("changed meanwhile", code=409)
        self.writes.append("patch")
        self.drops(patch)
        body = there | {"spec": there["spec"] | patch["spec"]}
        return msgspec.convert(self.put(name, body), ResourceSlice)

    async def replace(self, *args: Any) -> Any:
        raise NotImplementedError

    async def delete(self, kind: Any, name: str, namespace: str = "", *, uid: str = "", version: str = "") -> None:
        if name in self.slices:
            meta = self.slices[name]["metadata"]
            assert (uid, version) == (meta["uid"], meta["resourceVersion"])
            self.writes.append("delete")
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


def publisher(world: World, version: str = "v1", **more: Any) -> SlicePublisher:
    return SlicePublisher(world, version, NODE, DRIVER, **more)


def attributes(device: Mapping[str, Any]) -> Any:
    return (device.get("basic") or device)["attributes"]


@asynccontextmanager
async def following(world: World, slices: SlicePublisher) -> AsyncIterator[None]:
    task = asyncio.create_task(slices.run())
    try:
        await until(lambda: bool(world.watchers))
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # the world is not ours to add events to
            await asyncio.sleep(0)
