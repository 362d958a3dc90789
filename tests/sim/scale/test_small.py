"""The short form of `nvdra sim scale`: a real controller process, scripted nodes, counts and no clocks."""

import pytest

from nvdra.sim.scale.controller import ControllerProcess
from nvdra.sim.scale.crowd import Crowd
from nvdra.sim.scale.joining import Joining
from nvdra.sim.scale.member import Member
from nvdra.sim.scale.place import Place
from nvdra.sim.scale.seeding import seed
from nvdra.sim.scale.throttled import Start, Throttled

pytestmark = pytest.mark.slow


async def test_nodes_that_join_at_once_cost_as_many_writes_as_nodes(place, say):
    """54 nodes in 3 cliques: at most N + 5 writes for the first clique and 5 more for each further one, none refused."""
    found = await Joining(Crowd(54, 3, limit=120), place, say).run()
    told = found["writes of the controller, by kind"]
    assert found["writes of the plugins"] == 54
    assert found["writes of the controller"] <= 5 * 3, told
    assert found["conflicts"] == 0
    told = found["deleted: writes of the controller, by kind"]
    assert told["patch nodes"] == 54
    assert told["delete computedomaincliques"] == 3
    assert sum(told.values()) <= 54 + 5 * 3, told  # what was provisioned, the finalizer, and what the status says


async def test_a_member_holds_as_much_among_36_nodes_as_before(say):
    """A real plugin and daemon among scripted nodes: their list is whole, each is measured, the plugin grows by 3 MiB at most."""
    member = Member(Crowd(36, 2, limit=120), say, rest=1.0)
    held = await member.run()
    assert member.heard == (18, 18)
    assert set(held) == {"controller", "kubelet-plugin", "imex-daemon"}
    assert all(memory["after"] > 10 for memory in held.values())
    assert held["kubelet-plugin"]["after"] <= held["kubelet-plugin"]["before"] + 3


async def test_a_restart_writes_nothing(place, say):
    """100 domains that are provisioned: a controller that starts lists, compares, and writes nothing."""
    await seed(place, "some", 0, 100)
    async with ControllerProcess(place) as controller:
        await controller.quiet(60)
        state = await controller.state()
    assert state.writes() == {}
    assert state.total <= 25


async def test_plugins_that_are_turned_away_all_get_there(say):
    """30 plugins start at once where 40 requests a second are taken: each asks for what it needs, once.

    What the server has of resource.k8s.io, its Node, its slices, one slice made and followed, and the pods that wait.
    """
    async with Place(rate=40) as place:
        found = await Throttled(Start(30, 40, limit=60), place, say).run()
    kinds = found["by kind and answer"]
    needed = ("get apigroups", "get nodes", "list resourceslices", "create resourceslices", "list pods")
    assert {kind: count for kind, count in kinds.items() if not kind.endswith("429")} == {
        **dict.fromkeys((f"{kind} {201 if kind.startswith('create') else 200}" for kind in needed), 30),
        "watch resourceslices 200": 30,
    }
    assert found["requests turned away"] > 0
