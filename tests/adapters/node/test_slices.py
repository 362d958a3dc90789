import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
from attrs import define, field

from nvdra.adapters.slices import SlicePublisher
from nvdra.api.kind import Kind
from nvdra.api.meta import Meta
from nvdra.api.resources import Attribute, Device, ResourceSlice
from nvdra.errors import Again, Conflict, Gone, NotFound, Refused
from nvdra.ports import Json, Listing, WatchEvent

NODE, DRIVER = "node-a", "compute-domain.nvidia.com"
CHANNEL = Device("channel-0", {"type": Attribute(string="channel"), "id": Attribute(int=0)})
DAEMON = Device("daemon-0", {"type": Attribute(string="daemon"), "id": Attribute(int=0)})
WITH_CLIQUE = Device("daemon-0", {**DAEMON.attributes, "clique": Attribute(string="u.1")})
VERSIONS = pytest.mark.parametrize("version", ["v1", "v1beta2", "v1beta1"])


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


@VERSIONS
async def test_the_first_publication_makes_one_slice(version: str) -> None:
    """Shape of the version, owner, generation 1; a second publication of the same writes nothing."""
    world = World()
    slices = publisher(world, version)
    await slices.publish((CHANNEL, DAEMON))
    await slices.publish([CHANNEL, DAEMON])
    await publisher(world, version).publish((CHANNEL, DAEMON))
    ((name, body),) = world.slices.items()
    channel = {"attributes": {"type": {"string": "channel"}, "id": {"int": 0}}}
    daemon = {"attributes": {"type": {"string": "daemon"}, "id": {"int": 0}}}
    shape = (lambda device: {"basic": device}) if version == "v1beta1" else (lambda device: device)

    assert world.writes == ["create"]
    assert name.startswith(f"00000-{DRIVER}-{NODE}-")
    assert body["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": NODE, "uid": "n-1", "controller": True}
    ]
    assert body["spec"] == {
        "driver": DRIVER,
        "nodeName": NODE,
        "pool": {"name": NODE, "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "channel-0", **shape(channel)}, {"name": "daemon-0", **shape(daemon)}],
    }


@VERSIONS
async def test_a_change_patches_the_slice_in_its_generation(version: str) -> None:
    """New attributes and an empty pool keep object and generation: nothing is replaced."""
    world = World()
    slices = publisher(world, version)
    for devices in ((CHANNEL, DAEMON), (CHANNEL, WITH_CLIQUE), ()):
        await slices.publish(devices)
        (spec,) = world.specs()
        assert [attributes(d).get("clique") for d in spec["devices"]] == [
            {"string": "u.1"} if "clique" in d.attributes else None for d in devices
        ]
        assert spec["pool"] == {"name": NODE, "generation": 1, "resourceSliceCount": 1}

    assert world.writes == ["create", "patch", "patch"]


async def test_leftovers_go_and_the_newest_stays() -> None:
    """Older generations, doubles and other pools of ours go; other drivers' and nodes' slices are not touched."""
    world = World()
    world.put("old", a_slice(generation=1))
    world.put("new-a", a_slice(generation=2, count=2))
    world.put("new-b", a_slice(generation=2, count=2))
    world.put("pool", a_slice(generation=9, pool="other"))
    foreign = a_slice()
    foreign["spec"]["driver"] = "gpu.nvidia.com"
    world.put("foreign", foreign)
    await publisher(world).publish((CHANNEL,))

    assert sorted(world.slices) == ["foreign", "new-a"]
    assert world.slices["new-a"]["spec"]["pool"] == {"name": NODE, "generation": 2, "resourceSliceCount": 1}
    assert [device["name"] for device in world.slices["new-a"]["spec"]["devices"]] == ["channel-0"]


async def test_a_slice_on_its_way_out_is_followed_by_the_next_generation() -> None:
    """What is being deleted is not patched; what takes its place is newer, so that the scheduler takes that."""
    world = World()
    dying = a_slice(generation=4)
    dying["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.put("dying", dying)
    await publisher(world).publish((CHANNEL,))
    generations = {name: body["spec"]["pool"]["generation"] for name, body in world.slices.items()}

    assert generations.pop("dying") == 4
    assert list(generations.values()) == [5]


async def test_a_conflict_is_looked_at_anew() -> None:
    """Somebody writes in between: read again, and written on top of that."""
    world = World()
    slices = publisher(world)
    await slices.publish((CHANNEL,))
    (name,) = world.slices

    def once() -> None:
        world.before_write = lambda: None
        world.put(name, world.slices[name])

    world.before_write = once
    await slices.publish((DAEMON,))

    assert [d["name"] for d in world.specs()[0]["devices"]] == ["daemon-0"]


async def test_endless_conflicts_are_given_up_for_now() -> None:
    """Others that never stop writing are named, to be tried again later."""
    world = World()
    slices = publisher(world)
    await slices.publish((CHANNEL,))
    (name,) = world.slices
    world.before_write = lambda: world.put(name, world.slices[name]) and None
    with pytest.raises(Again, match="others keep writing"):
        await slices.publish((DAEMON,))


async def test_no_node_no_slice() -> None:
    """A slice without owner would never be collected."""
    world = World(node_uid="")
    with pytest.raises(Again, match="there is no Node node-a"):
        await publisher(world).publish((CHANNEL,))

    assert world.slices == {}


async def test_more_devices_than_a_slice_holds_are_refused() -> None:
    """A limit of ours, said aloud."""
    with pytest.raises(Refused, match="65 devices"):
        await publisher(World()).publish([Device(f"channel-{i}") for i in range(65)])


async def test_wiped_and_damaged_slices_are_made_again_at_once() -> None:
    """While followed, what the kubelet wipes and people change is repaired; peace costs no request."""
    world = World()
    slices = publisher(world, retry=0)
    await slices.publish((CHANNEL, DAEMON))
    wanted = world.specs()
    async with following(world, slices):
        world.drop(next(iter(world.slices)))
        await until(lambda: world.specs() == wanted)
        (name,) = world.slices
        world.put(name, a_slice(devices=[{"name": "stranger", "attributes": {}}]))
        await until(lambda: world.specs() == wanted)
        world.put("double", a_slice())
        await until(lambda: world.specs() == wanted)
        await until(world.watchers[0].empty)
        lists, writes = world.lists, list(world.writes)
        for _ in range(20):
            await slices.publish((CHANNEL, DAEMON))

        assert (world.writes, world.lists - lists <= 2) == (writes, True)


async def test_what_we_wrote_ourselves_costs_no_look() -> None:
    """While followed, a publication costs the list before it and the write; the watch's word of it costs nothing."""
    world = World()
    slices = publisher(world, retry=0)
    await slices.publish((CHANNEL,))
    async with following(world, slices):
        await until(world.watchers[0].empty)
        lists = world.lists
        await slices.publish((CHANNEL, DAEMON))
        await until(world.watchers[0].empty)
        for _ in range(20):
            await asyncio.sleep(0)

        assert (len(world.writes), world.lists - lists) == (2, 1)


async def test_a_watch_that_ends_is_taken_up_again() -> None:
    """After a 410 the slices are listed, repaired and followed anew."""
    world = World()
    slices = publisher(world, retry=0)
    await slices.publish((CHANNEL,))
    async with following(world, slices):
        name = next(iter(world.slices))
        world.watchers[0].put_nowait(WatchEvent("BOOKMARK", None))
        world.slices.pop(name)
        await until(lambda: len(world.slices) == 1)


async def test_nothing_is_made_before_the_first_publication() -> None:
    """A follower that was told nothing yet does not touch what an earlier process left."""
    world = World()
    world.put("left", a_slice())
    async with following(world, publisher(world, retry=0)):
        world.put("left", a_slice(generation=3))
        await until(world.watchers[0].empty)

    assert (list(world.slices), world.writes) == (["left"], [])


async def test_fields_that_the_server_drops_are_not_sent_for_ever() -> None:
    """What the server made of our slice counts as right, so that no loop of patches begins."""

    def drop_ids(body: Json) -> None:
        for device in body["spec"]["devices"]:
            del device["attributes"]["id"]

    world = World(drops=drop_ids)
    slices = publisher(world)
    for _ in range(3):
        await slices.publish((CHANNEL,))

    assert world.writes == ["create"]
