"""The pretend nvidia-imex inside one process: its manners."""

import asyncio
import signal

import pytest

from nvdra.domains.imex_daemon.symptoms import unreachable, waiting_for
from nvdra.sim.imex.processes import import_memory


async def test_eighteen_nodes_become_one_domain(domain, started):
    """All are READY, each is connected to each, and the domain is UP."""
    nodes = domain(18)
    await started(nodes)

    view = await nodes[7].sees(lambda view: view.status == "UP")
    assert {view.row(index) for index in range(18)} == {"C" * 18}
    assert {node.status for node in view.nodes.values()} == {"READY"}


async def test_empty_slots_keep_the_domain_degraded(domain, started):
    """Three nodes of eighteen slots are READY and connected, and the domain is DEGRADED all the same."""
    nodes = domain(3, slots=18)
    await started(nodes)

    view = await nodes[1].sees(lambda view: view.status == "DEGRADED")
    assert view.row(0) == "CCC" + "N" * 15
    assert unreachable(view, 1, {0: "a", 1: "b", 2: "c"}) is None


async def test_log_has_the_guides_lines(domain, started):
    """The lines that people know from the user guide are there, in its order."""
    nodes = domain(2)
    await started(nodes)
    wanted = ["IMEX Log initializing", "IMEX version 580.95.05 is running", "Identified this node as ID 0, using bind IP of '10.0.0.1'",
              "Assuming no previous importers", "Creating gRPC channels to all peers (nPeers = 2)", "IMEX_WAIT_FOR_QUORUM != FULL",
              "Connection established to node 0 with ip address 10.0.0.1. Number of times connected: 1",
              "GPU event successfully subscribed"]  # fmt: skip
    at = [next(i for i, line in enumerate(nodes[0].lines) if words in line) for words in wanted]
    assert at == sorted(at)
    assert nodes[0].said("Connection established to node 1 with ip address 10.0.0.2. Number of times connected: 1")


async def test_names_file_is_read_once(domain):
    """A list that changes under a running instance changes nothing."""
    nodes = domain(2)
    await nodes[0].start()
    await nodes[0].becomes("READY")
    nodes[0].write(["other"])
    await nodes[1].start()
    await nodes[1].sees(lambda view: view.row(1) == "CC")


async def test_other_lists_are_refused(domain, until):
    """Instances whose lists differ do not work together, and both say so."""
    nodes = domain(2)
    nodes[1].write([*nodes[1].names, "one-more"])
    for node in nodes:
        await node.start()
        await node.becomes("READY")
    await until(lambda: all(node.said("node config that differs") for node in nodes))
    view = await nodes[0].ctl.domain()
    assert view is not None
    assert view.row(0) == "CI"


async def test_names_are_resolved_again_on_sigusr1_only(domain):
    """A new address behind a name is used after the signal, and not before."""
    nodes = domain(2)
    nodes[0].resolve({"imex-t-0000": "10.0.0.1"})
    for node in nodes:
        await node.start()
        await node.becomes("READY")
    await nodes[1].sees(lambda view: view.row(1) == "CC")
    nodes[0].resolve({"imex-t-0000": "10.0.0.1", "imex-t-0001": "10.0.0.2"})
    view = await nodes[0].ctl.domain()
    assert view is not None
    assert view.row(0) == "CN"

    nodes[0].child.signal(signal.SIGUSR1)
    await nodes[0].sees(lambda view: view.row(0) == "CC")


async def test_sigusr1_is_lost_while_deaf(domain, until, started):
    """A second signal within five seconds of the last taken one does nothing; after that it does."""
    nodes = domain(2)
    nodes[0].control(deaf=0.6)
    await started(nodes)
    link = "Number of times connected: "
    nodes[0].child.signal(signal.SIGUSR1)
    nodes[0].child.signal(signal.SIGUSR1)
    await until(lambda: nodes[0].said(link + "2"))
    assert sum("Re-resolving" in line for line in nodes[0].lines) == 1

    async with asyncio.timeout(5):
        while not nodes[0].said(link + "3"):
            nodes[0].child.signal(signal.SIGUSR1)
            await asyncio.sleep(0.02)
    assert sum("Re-resolving" in line for line in nodes[0].lines) == 2
    assert nodes[1].lost == 0


async def test_a_restarted_instance_loses_its_importers(domain, until, started):
    """What a peer had imported is counted as lost when the exporter's new instance is seen, not while it is away."""
    nodes = domain(2)
    await started(nodes)
    await import_memory(nodes[0].child, nodes[1].child)
    assert await nodes[0].end(signal.SIGKILL) == -signal.SIGKILL
    view = await nodes[1].sees(lambda view: view.nodes[0].status == "UNAVAILABLE")
    assert (view.row(1), nodes[1].lost) == ("RC", 0)

    await nodes[0].start()
    await until(lambda: nodes[1].lost == 1)
    assert nodes[1].said("Node 0 is a new instance")


async def test_a_clean_stop_ends_imports_at_once(domain, until, started):
    """SIGTERM tells the peers; the exit code is 0 and the next start waits for nobody."""
    nodes = domain(2)
    await started(nodes)
    await import_memory(nodes[0].child, nodes[1].child)
    assert await nodes[0].end(signal.SIGTERM) == 0
    await until(lambda: nodes[1].lost == 1)
    assert (await nodes[1].sees(lambda view: view.row(1) == "DC")).nodes[0].status == "UNAVAILABLE"
    await nodes[1].end(signal.SIGTERM)

    await nodes[0].start()
    await nodes[0].becomes("READY")


async def test_an_unclean_stop_waits_for_former_importers(domain, started):
    """It is not ready until the importer is there again, says so, and then forgets it."""
    nodes = domain(3)
    await started(nodes)
    await import_memory(nodes[0].child, nodes[2].child)
    for node in nodes:
        await node.end(signal.SIGKILL)

    for node in nodes[:2]:
        await node.start()
    await nodes[0].becomes("WAITING_FOR_RECOVERY")
    await nodes[1].becomes("READY")
    seen = waiting_for("WAITING_FOR_RECOVERY", await nodes[0].ctl.domain(), 0, {0: "a", 1: "b", 2: "c"})
    assert seen is not None
    assert "former importers" in seen.text
    assert "c" in seen.text.partition(": ")[2].partition(";")[0].split(", ")
    assert nodes[0].said("Waiting for nodes that imported before: node 2 (imex-t-0002)")

    await nodes[2].start()
    await nodes[0].becomes("READY")


@pytest.mark.parametrize("way_out", ["NONE", "list"])
async def test_quorum_none_or_another_list_skips_the_wait(domain, way_out, started):
    """Neither waits for former importers: the one by setting, the other because the memory is another list's."""
    nodes = domain(2)
    await started(nodes)
    await import_memory(nodes[0].child, nodes[1].child)
    for node in nodes:
        await node.end(signal.SIGKILL)
    if way_out == "NONE":
        nodes[0].write(nodes[0].names, quorum="NONE")
    else:
        nodes[0].write([*nodes[0].names, "one-more"])
    await nodes[0].start()
    await nodes[0].becomes("READY")


async def test_quorum_full_waits_for_all(domain):
    """FULL is ready only with everybody."""
    nodes = domain(2)
    for node in nodes:
        node.write(node.names, quorum="FULL")
    await nodes[0].start()
    await nodes[0].becomes("WAITING_FOR_PEERS")
    await nodes[1].start()
    await nodes[0].becomes("READY")


async def test_ipv6_and_dual_stack(domain, started):
    """Nodes find themselves and each other in their own address family, whatever else a name has."""
    nodes = domain(2)
    for node, address in zip(nodes, ("fd00::1", "fd00::2"), strict=True):
        node.address = address
        node.write(node.names)
        node.resolve({"imex-t-0000": ("10.0.0.1", "fd00::1"), "imex-t-0001": "fd00::2"})
    await started(nodes)
    assert nodes[0].said("Connection established to node 1 with ip address fd00::2.")


async def test_a_listed_address_stands_for_itself(domain, started):
    """Drivers without names get addresses, which need no hosts file."""
    nodes = domain(2)
    for node in nodes:
        node.write(["10.0.0.1", "10.0.0.2"])
        (node.root / "hosts").unlink()
    await started(nodes)
