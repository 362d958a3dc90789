"""One writer of a node's ResourceSlices: what is there in the end, and what it costs in requests."""

import asyncio

import pytest

from nvdra.api.resources import Device
from nvdra.errors import Again, ApiError, Refused
from nvdra.ports import Json
from tests.adapters.node.slice_world import (
    CHANNEL,
    DAEMON,
    DRIVER,
    NODE,
    WITH_CLIQUE,
    World,
    a_slice,
    attributes,
    devices_in,
    following,
    publisher,
)
from tests.virtual_time import until, virtually

VERSIONS = pytest.mark.parametrize("version", ["v1", "v1beta2", "v1beta1"])


@VERSIONS
@virtually
async def test_the_first_publication_makes_one_slice(version: str) -> None:
    """Shape of the version, owner, generation 1; for a list, a write and a watch, and nothing for the same again."""
    world = World()
    slices = publisher(world, version)
    async with following(slices, CHANNEL, DAEMON):
        slices.publish([CHANNEL, DAEMON])
        await asyncio.sleep(60)
        asked = list(world.asked)
    async with following(publisher(world, version), CHANNEL, DAEMON):
        again = world.asked[len(asked) :]
    ((name, body),) = world.slices.items()
    channel = {"attributes": {"type": {"string": "channel"}, "id": {"int": 0}}}
    daemon = {"attributes": {"type": {"string": "daemon"}, "id": {"int": 0}}}
    shape = (lambda device: {"basic": device}) if version == "v1beta1" else (lambda device: device)

    assert sorted(asked) == ["create", "list", "watch"]
    assert again == ["list", "watch"]
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
@virtually
async def test_a_change_patches_the_slice_in_its_generation(version: str) -> None:
    """New attributes and an empty pool keep object and generation; each costs one request, and its echo none."""
    world = World()
    slices = publisher(world, version)
    async with following(slices):
        for devices in ((CHANNEL, DAEMON), (CHANNEL, WITH_CLIQUE), ()):
            slices.publish(devices)
            await asyncio.sleep(60)
            (spec,) = world.specs()
            assert [attributes(d).get("clique") for d in spec["devices"]] == [
                {"string": "u.1"} if "clique" in d.attributes else None for d in devices
            ]
            assert spec["pool"] == {"name": NODE, "generation": 1, "resourceSliceCount": 1}

    assert world.asked == ["list", "watch", "create", "patch", "patch"]


@virtually
async def test_leftovers_go_and_the_newest_stays() -> None:
    """Older generations, doubles and other pools of ours go; other drivers' and nodes' slices are not touched."""
    world = World()
    world.put("old", a_slice(generation=1))
    world.put("new-a", a_slice(generation=2, count=2))
    world.put("new-b", a_slice(generation=2, count=2))
    world.put("pool", a_slice(generation=9, pool="other"))
    foreign = a_slice()
    foreign["spec"]["driver"] = "gpu.nvidia.com"
    world.slices["foreign"] = foreign
    async with following(publisher(world), CHANNEL):
        pass

    assert sorted(world.slices) == ["foreign", "new-a"]
    assert world.slices["new-a"]["spec"]["pool"] == {"name": NODE, "generation": 2, "resourceSliceCount": 1}
    assert [device["name"] for device in world.slices["new-a"]["spec"]["devices"]] == ["channel-0"]


@virtually
async def test_a_slice_on_its_way_out_is_followed_by_the_next_generation() -> None:
    """What is being deleted is not patched; what takes its place is newer, so that the scheduler takes that."""
    world = World()
    dying = a_slice(generation=4)
    dying["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.put("dying", dying)
    async with following(publisher(world), CHANNEL):
        pass
    generations = {name: body["spec"]["pool"]["generation"] for name, body in world.slices.items()}

    assert generations.pop("dying") == 4
    assert list(generations.values()) == [5]


@virtually
async def test_a_conflict_is_looked_at_anew() -> None:
    """Somebody writes in between: the watch tells it, and it is written on top of that."""
    world = World()
    slices = publisher(world)
    async with following(slices, CHANNEL):
        (name,) = world.slices

        def once() -> None:
            world.before_write = lambda: None
            world.put(name, world.slices[name])

        world.before_write = once
        slices.publish((DAEMON,))
        await until(lambda: devices_in(world) == [["daemon-0"]], limit=2.0)


@virtually
async def test_endless_conflicts_are_told_and_gone_on_with(caplog: pytest.LogCaptureFixture) -> None:
    """Others that never stop writing are named in the log, once; we do not fight them faster and faster."""
    world = World()
    slices = publisher(world)
    async with following(slices, CHANNEL):
        (name,) = world.slices
        world.before_write = lambda: world.put(name, world.slices[name]) and None
        slices.publish((DAEMON,))
        so_far = len(world.told)
        await asyncio.sleep(600)
        assert 20 < len(world.told) - so_far < 60
        world.before_write = lambda: None
        await until(lambda: devices_in(world) == [["daemon-0"]], limit=60.0)

    assert [record.getMessage() for record in caplog.records] == [
        f"ResourceSlices of {DRIVER} on {NODE}: changed meanwhile"
    ]


@virtually
async def test_no_node_no_slice(caplog: pytest.LogCaptureFixture) -> None:
    """A slice without owner would never be collected: it is made once there is a Node."""
    world = World(node_uid="")
    async with following(publisher(world), CHANNEL):
        assert world.slices == {}
        assert "there is no Node node-a" in caplog.text
        world.node_uid = "n-2"
        await until(lambda: devices_in(world) == [["channel-0"]], limit=60.0)


@virtually
async def test_a_slice_that_went_with_its_node_gets_the_new_one_as_owner() -> None:
    """The first slice may rest on what was known of the node; every later one on a live look."""
    world = World()
    slices = publisher(world)
    async with following(slices, CHANNEL):
        world.node_uid = "n-2"
        world.drop(next(iter(world.slices)))
        await until(lambda: len(world.slices) == 1)

    (body,) = world.slices.values()
    assert body["metadata"]["ownerReferences"][0]["uid"] == "n-2"


def test_more_devices_than_a_slice_holds_are_refused() -> None:
    """A limit of ours, said aloud."""
    with pytest.raises(Refused, match="65 devices"):
        publisher(World()).publish([Device(f"channel-{i}") for i in range(65)])


@virtually
async def test_wiped_and_damaged_slices_are_made_again_at_once() -> None:
    """What the kubelet wipes and people change is repaired, for one request each; peace costs none."""
    world = World()
    slices = publisher(world)
    async with following(slices, CHANNEL, DAEMON):
        wanted, so_far = world.specs(), len(world.asked)
        world.drop(next(iter(world.slices)))
        await until(lambda: world.specs() == wanted, limit=0.1)
        (name,) = world.slices
        world.put(name, a_slice(devices=[{"name": "stranger", "attributes": {}}]))
        await until(lambda: world.specs() == wanted, limit=0.1)
        world.put("double", a_slice())
        await until(lambda: world.specs() == wanted, limit=0.1)
        await asyncio.sleep(60)

        assert sorted(world.asked[so_far:]) == ["create", "delete", "patch"]


@virtually
async def test_a_watch_that_ends_is_taken_up_again() -> None:
    """After a 410 the slices are listed, repaired and followed anew."""
    world = World()
    async with following(publisher(world), CHANNEL):
        world.drop(next(iter(world.slices)))
        world.told.clear()
        world.expire()
        await until(lambda: devices_in(world) == [["channel-0"]], limit=2.0)
        world.drop(next(iter(world.slices)))
        await until(lambda: devices_in(world) == [["channel-0"]], limit=0.1)


@virtually
async def test_a_slice_that_was_made_without_an_answer_is_not_made_twice() -> None:
    """A create that broke off may have been done: we look, also when the watch is away, before we make another."""
    world = World()

    def broken(verb: str) -> None:
        world.loses = lambda _: None
        raise Again("connection reset")

    def no_watch(verb: str) -> None:
        if verb == "watch":
            raise ApiError("busy", code=429, after=1.0)

    world.loses, world.fails = broken, no_watch
    async with following(publisher(world), CHANNEL):
        assert (devices_in(world), world.writes) == ([["channel-0"]], ["create"])


@virtually
async def test_a_server_that_turns_us_away_is_given_its_time() -> None:
    """A create that is refused with Retry-After is repeated after that, and nothing else is asked meanwhile."""
    world = World()

    def busy(verb: str) -> None:
        if verb == "create":
            world.fails = lambda _: None
            raise ApiError("busy", code=429, after=7.0)

    world.fails = busy
    slices = publisher(world)
    task = asyncio.create_task(slices.run())
    slices.publish((CHANNEL,))
    await asyncio.sleep(6.9)
    assert sorted(world.asked) == ["create", "list", "watch"]
    await until(lambda: devices_in(world) == [["channel-0"]], limit=8.0)
    task.cancel()


@virtually
async def test_nothing_is_made_before_the_first_publication() -> None:
    """A follower that was told nothing yet does not touch what an earlier process left."""
    world = World()
    world.put("left", a_slice())
    async with following(publisher(world)):
        world.put("left", a_slice(generation=3))
        await asyncio.sleep(60)

    assert (list(world.slices), world.writes) == (["left"], [])


@virtually
async def test_fields_that_the_server_drops_are_not_sent_for_ever() -> None:
    """What the server made of our slice counts as right, so that no loop of patches begins."""

    def drop_ids(body: Json) -> None:
        for device in body["spec"]["devices"]:
            del device["attributes"]["id"]

    world = World(drops=drop_ids)
    async with following(publisher(world), CHANNEL):
        pass

    assert world.writes == ["create"]
