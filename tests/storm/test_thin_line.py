"""The storm's world without a storm: what the rest rests on."""

import asyncio

from nvdra.api.kinds import COMPUTE_DOMAINS, PODS
from nvdra.sim.kube.shapes import phase
from nvdra.sim.storm.fate import Fate
from nvdra.sim.storm.peace import Peace
from nvdra.sim.storm.users import Users
from nvdra.sim.storm.world import Shape, World
from tests.virtual_time import clock, virtually


async def a_world(*cliques: int) -> World:
    world = World(Fate(1, calm=True), Shape(cliques))
    await world.start()
    return world


@virtually
async def test_a_domain_on_two_nodes_becomes_ready_and_leaves_nothing():
    """One process, virtual time: two workers run with their channel, and after their end nothing of ours is anywhere."""
    world = await a_world(1, 1)
    users = Users(world)
    await users.do("team alpha 2")
    assert await world.until(lambda: [phase(pod) for pod in world.view.all(PODS)] == ["Running"] * 4, 30.0)
    (domain,) = world.view.all(COMPUTE_DOMAINS)
    assert domain["status"]["status"] == "Ready"
    workers = [
        container for node in world.nodes.values() for container in node.containers.values() if not container.daemon
    ]
    assert [worker.devices for worker in workers] == [("/dev/nvidia-caps-imex-channels/channel0",)] * 2
    assert sorted(node.session.index for node in world.nodes.values()) == [0, 1]
    for line in ("unworker alpha n0", "unworker alpha n1", "undomain alpha"):
        await users.do(line)
    assert await world.until(lambda: not Peace(world).left(), 60.0), Peace(world).left()
    assert world.faults == []
    await world.stop()


@virtually
async def test_a_worker_waits_for_its_domain():
    """One of two nodes has a worker: it is held back, as long as need be."""
    world = await a_world(1, 1)
    await Users(world).do("domain alpha 2")
    await Users(world).do("worker alpha n0")
    before = clock()
    await asyncio.sleep(600)
    assert clock() - before == 600
    assert phase(world.view.find(PODS, "alpha-n0", "default")) == "Pending"
    await Users(world).do("worker alpha n1")
    assert await world.until(lambda: phase(world.view.find(PODS, "alpha-n0", "default")) == "Running", 100.0)
    assert world.faults == []
    await world.stop()


@virtually
async def test_a_node_without_fabric_waits_for_nobody():
    """Its worker runs without a device, and is a node of the domain all the same."""
    world = await a_world(0)
    await Users(world).do("team alpha 1")
    assert await world.until(lambda: phase(world.view.find(PODS, "alpha-n0", "default")) == "Running", 30.0)
    (worker,) = world.nodes["n0"].containers.values()
    assert worker.devices == ()
    await world.stop()


@virtually
async def test_a_node_that_boots_anew_is_served_anew():
    """Power goes and comes: the disk is there, /run and /dev are empty, and the worker runs again with its channel."""
    world = await a_world(1)
    await Users(world).do("team alpha 1")
    node = world.nodes["n0"]
    assert await world.until(lambda: phase(world.view.find(PODS, "alpha-n0", "default")) == "Running", 30.0)
    node.power_off()
    await asyncio.sleep(5)
    node.power_on()
    assert node.disk.devices == {}
    assert await world.until(lambda: len(node.containers) == 2 and node.session is not None, 200.0)
    assert await world.until(lambda: not Peace(world).unsettled(), 100.0), Peace(world).unsettled()
    assert world.faults == []
    await world.stop()
