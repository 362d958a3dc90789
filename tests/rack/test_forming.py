"""numNodes: who is held back, who is let go, and what is remembered of it."""

import pytest

from nvdra.api import names
from nvdra.sim.kube.kinds import PODS
from tests.rack.rig import OWN


async def test_two_workers_are_held_until_both_nodes_are_ready(raised):
    """With numNodes 2, the first worker waits, its pod says for what, and both run once both nodes are ready."""
    rig = await raised(2)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.said("a", "2 nodes")
    assert not await rig.runs("a")()
    assert (await rig.condition("Formed"))["message"].startswith("waiting for ")
    await rig.create_worker("b", "node-2")
    await rig.running("a", "b", limit=20)  # the kubelet's own retry comes after 60 to 90 s
    assert "channel0" in await rig.log("a")
    assert await rig.indices() == {"node-1": 0, "node-2": 1}
    await rig.until("the status says so", lambda: _counts(rig, "2/2"))
    assert (await rig.condition("Formed"))["status"] == "True"


@pytest.mark.parametrize("wanted", [0, None])
async def test_without_numnodes_a_worker_waits_for_its_own_node_only(raised, wanted):
    """NumNodes 0, or none at all: the domain has formed from the start."""
    rig = await raised(2)
    await rig.create_domain(wanted=wanted)
    rig.imex("node-2", ready_after=600)
    await rig.create_worker("b", "node-2")
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    assert "channel0" in await rig.log("a")
    await rig.said("b", "node-2's IMEX daemon is not ready", limit=10)
    rig.imex("node-2")
    await rig.running("b", limit=20)


async def test_a_peers_failure_takes_nothing_from_a_released_worker(raised):
    """A released worker keeps its claim, its file and its container when the other node's daemon fails for good."""
    rig = await raised(2)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.create_worker("b", "node-2")
    await rig.running("a", "b")
    files, worker = rig.cdi("node-1"), rig.container("node-1", "a", "worker")
    rig.imex("node-2", exit_at_start="Fatal error")
    await rig.delete(PODS, (await rig.daemons("node-2"))[0]["metadata"]["name"], namespace=OWN)

    async def degraded():
        return (await rig.condition("Ready")).get("reason") == "Degraded"

    await rig.until("the domain is degraded", degraded)
    assert (await rig.domain())["status"]["status"] == "Ready"
    await rig.rack.nodes["node-1"].kubelet.restart()
    await rig.restart_plugin("node-1")
    assert rig.records("node-1")[0]["released"]
    await rig.stays("a runs", rig.runs("a"), 1.0)
    assert rig.cdi("node-1") == files
    assert rig.container("node-1", "a", "worker") is worker


async def test_a_replacement_is_not_held_back_once_the_domain_has_formed(raised):
    """A worker on another node is released by its own node's readiness, though fewer than numNodes are left."""
    rig = await raised(4)
    await rig.create_domain(wanted=3)
    for number in (1, 2, 3):
        await rig.create_worker(f"w{number}", f"node-{number}")
    await rig.running("w1", "w2", "w3")
    await rig.delete(PODS, "w2", "w3")
    for node in ("node-2", "node-3"):
        await rig.until(f"{node} has left", lambda n=node: _unlabelled(rig, n))
    await rig.create_worker("w4", "node-4")
    await rig.running("w4")
    assert "channel0" in await rig.log("w4")
    assert (await rig.indices())["node-4"] == 3, "an index is not given again while another is unused"
    await rig.until("two of three are ready", lambda: _counts(rig, "2/3"))


async def test_a_node_that_comes_back_gets_its_old_index(raised):
    """Indices are stable for the life of the domain: node-1 leaves and returns to 0 although others came."""
    rig = await raised(3)
    await rig.create_domain()
    for node in ("node-1", "node-2"):
        await rig.create_worker(f"w-{node}", node)
        await rig.running(f"w-{node}")
    await rig.delete(PODS, "w-node-1")
    await rig.until("node-1 has left", lambda: _unlabelled(rig, "node-1"))
    for node in ("node-3", "node-1"):
        await rig.create_worker(f"again-{node}", node)
        await rig.running(f"again-{node}")
    assert await rig.indices() == {"node-1": 0, "node-2": 1, "node-3": 2}


async def test_forming_is_forgotten_when_the_last_node_leaves(raised):
    """After everybody has left, a lone worker of numNodes 2 waits again."""
    rig = await raised(2)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.create_worker("b", "node-2")
    await rig.running("a", "b")
    await rig.delete(PODS, "a", "b")
    await rig.until("both have left", lambda: _nobody(rig))
    await rig.create_worker("c", "node-1")
    await rig.said("c", "not joined")
    assert not await rig.runs("c")()


async def test_a_node_without_fabric_blocks_nobody(raised):
    """It counts as ready as soon as it has joined, runs no IMEX daemon, and its worker gets no channel."""
    rig = await raised(1, without_fabric=1)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.create_worker("c", "node-2")
    await rig.running("a", "c", limit=20)
    assert "channel0" in await rig.log("a")
    assert "cannot access" in await rig.log("c")
    assert [p["spec"]["nodeName"] for p in await rig.daemons()] == ["node-1"]
    assert await rig.indices() == {"node-1": 0, "node-2": -1}
    await rig.delete_all()
    await rig.clean()


async def test_two_cliques_are_two_imex_domains_of_one_computedomain(raised):
    """Each clique numbers its own nodes, and workers of both wait until all of numNodes are ready."""
    rig = await raised(4, cliques=2)
    await rig.create_domain(wanted=4)
    for number in range(1, 4):
        await rig.create_worker(f"w{number}", f"node-{number}")
    await rig.until("three daemons", lambda: _daemons(rig, 3))
    assert not await rig.runs("w1")()
    await rig.create_worker("w4", "node-4")
    await rig.running("w1", "w2", "w3", "w4", limit=20)
    assert await rig.indices() == {"node-1": 0, "node-2": 1, "node-3": 0, "node-4": 1}

    async def two():
        found = (await rig.domain())["status"].get("imexDomains") or []
        return [(d["nodes"], d["ready"], d["status"]) for d in found] == [(2, 2, "Ready")] * 2

    await rig.until("the status has two entries", two)


async def test_all_channels_are_as_many_as_the_driver_has(raised):
    """AllocationMode All on a driver with four channels injects channel0 to channel3, and all of them go again."""
    rig = await raised(1)
    (rig.root() / "driver/proc/driver/nvidia/params").write_text("ImexChannelCount: 4\n")
    await rig.create_domain(mode="All")
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    shown = [line.split()[-1] for line in (await rig.log("a")).splitlines() if "channel" in line.split()[-1]]
    assert shown == ["channel0", "channel1", "channel2", "channel3"]
    await rig.delete_all()
    await rig.clean()


async def _counts(rig, text):
    return (await rig.domain())["status"].get("nodesReady") == text


async def _unlabelled(rig, node):
    return not await rig.label(node) and not await rig.daemons(node)


async def _nobody(rig):
    found = await rig.domain()
    return not found["status"].get("nodes") and (await rig.condition("Formed")).get("status") == "False"


async def _daemons(rig, number):
    ready = [
        p
        for p in await rig.daemons()
        if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions") or ())
    ]
    return len(ready) == number and names.DOMAIN_LABEL
