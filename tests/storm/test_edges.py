"""The edges of the storm behave as the world's do: requests, watches, disks, processes."""

import asyncio
from pathlib import Path

import pytest

from nvdra.api import kinds, names
from nvdra.errors import Again, ApiError, Gone, NotFound
from nvdra.sim.storm.disk import Disk, DiskView
from nvdra.sim.storm.fate import Fate, Fault
from nvdra.sim.storm.foreign import touched
from nvdra.sim.storm.life import Edge
from nvdra.sim.storm.wire import Wire
from nvdra.sim.storm.world import Shape, World
from tests.virtual_time import virtually

BODY = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def fault(site: str, what: str, nth: int = 1) -> Fault:
    return Fault(0.0, f"proc {site}", nth, what)


async def a_wire(*script: Fault) -> tuple[World, Wire]:
    """A world without nodes, and a process in it that meets exactly these faults."""
    world = World(Fate(1, script=script), Shape((), 0))
    await world.start()
    return world, Wire(Edge("proc", world))


async def there(world: World) -> bool:
    try:
        await world.user.get(kinds.PODS, "p", "default")
    except NotFound:
        return False
    return True


@pytest.mark.parametrize(("what", "done"), [("lost", False), ("unanswered", True), ("busy", False)])
def test_a_call_fails_before_or_after_it_took_effect(what, done):
    """The sender sees an error in either case."""

    @virtually
    async def life():
        world, wire = await a_wire(fault("create pods", what))
        with pytest.raises(ApiError):
            await wire.create(kinds.PODS, BODY, "default")
        assert await there(world) == done
        await wire.create(kinds.PODS, {**BODY, "metadata": {"name": "q"}}, "default")
        await world.stop()

    life()


@virtually
async def test_a_request_outlives_its_sender():
    """Given up after half a second, it is served within fifteen: whoever relies on the error is wrong."""
    world, wire = await a_wire(fault("create pods", "ghost"))
    with pytest.raises(ApiError):
        await wire.create(kinds.PODS, BODY, "default")
    assert not await there(world)
    await asyncio.sleep(16)
    assert await there(world)
    await world.stop()


@virtually
async def test_a_dead_process_has_no_effect():
    """Whatever it still tries is broken off; what it sent before is served."""
    world, wire = await a_wire()
    wire.edge.die()
    view = DiskView(Disk(), wire.edge)
    with pytest.raises(asyncio.CancelledError):
        await wire.create(kinds.PODS, BODY, "default")
    with pytest.raises(asyncio.CancelledError):
        view.write(Path("/a"), b"")
    assert not await there(world)
    await world.stop()


@virtually
async def test_a_watch_breaks_expires_and_loses_nothing():
    """After a break it goes on from where it was; after 410 a list is needed."""
    world, wire = await a_wire(fault("event pods", "broken", 1), fault("event pods", "expired", 3))
    start = (await wire.list(kinds.PODS)).version
    await wire.create(kinds.PODS, BODY, "default")
    stream = wire.watch(kinds.PODS, start)
    assert (await anext(stream)).type == "BOOKMARK"
    with pytest.raises(ApiError, match="broke"):
        await anext(stream)
    again = wire.watch(kinds.PODS, start)
    await anext(again)
    event = await anext(again)
    assert (event.type, event.object.metadata.name) == ("ADDED", "p")
    await wire.delete(kinds.PODS, "p", "default")
    with pytest.raises(Gone):
        await anext(again)
    await world.stop()


def test_a_boot_empties_run_and_dev_only():
    """Records survive, CDI files and device nodes do not."""
    disk = Disk({"/var/run/cdi/a.json": b"", "/var/lib/kubelet/b": b""}, {"/dev/x": (1, 2)})
    disk.boot()
    assert (set(disk.files), disk.devices) == ({"/var/lib/kubelet/b"}, {})


@virtually
async def test_a_mount_of_a_removed_folder_shows_nothing():
    """Also when a folder of that name is made again."""
    world, wire = await a_wire()
    disk = Disk({"/host/d/f": b"1"})
    view = DiskView(disk, wire.edge, {"/c/imexd": "/host/d"})
    assert view.read(Path("/c/imexd/f")) == b"1"
    disk.drop("/host/d")
    disk.put("/host/d/f", b"2")
    with pytest.raises(Again, match="gone"):
        view.write(Path("/c/imexd/f"), b"3")
    assert disk.files == {"/host/d/f": b"2"}
    await world.stop()


def node(**labels: str) -> dict:
    return {"metadata": {"name": "n0", "labels": labels}, "spec": {}, "status": {}}


@pytest.mark.parametrize(
    ("writer", "plural", "old", "new", "said"),
    [
        ("plugin@n0", "nodes", node(), node(**{names.DOMAIN_LABEL: "a"}), ""),
        ("user", "nodes", node(), node(x="y"), ""),
        ("plugin@n0", "nodes", node(), node(x="y"), "not ours"),
        ("plugin@n1 (late)", "nodes", node(), node(**{names.DOMAIN_LABEL: "a"}), "another node"),
        ("plugin@n0", "nodes", node(**{names.DOMAIN_LABEL: "a"}), node(**{names.DOMAIN_LABEL: "b"}), "to another"),
        ("controller-0", "daemonsets", None, {"metadata": {"name": "d"}}, "not ours"),
        ("controller-0", "secrets", None, {"metadata": {"name": "s"}}, "nothing to do with"),
        ("plugin@n0", "pods", BODY, {**BODY, "spec": {}}, "than its annotations"),
    ],
)
def test_what_is_others_is_told_apart(writer, plural, old, new, said):
    """A process of ours may write what is ours, and nothing else."""
    found = touched(writer, "MODIFIED", plural, old, new)
    assert said in found
    assert bool(said) == bool(found)
