"""One ResourceSlice for a node, in one generation after another, whoever else writes there."""

import asyncio

import pytest

from nvdra.api.resources import Device
from nvdra.errors import Again, Refused
from nvdra.ports import Json, WatchEvent
from tests.adapters.node.slice_world import (
    CHANNEL,
    DAEMON,
    DRIVER,
    NODE,
    WITH_CLIQUE,
    World,
    a_slice,
    attributes,
    following,
    publisher,
    until,
)

VERSIONS = pytest.mark.parametrize("version", ["v1", "v1beta2", "v1beta1"])


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
