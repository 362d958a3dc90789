"""The pretend nvidia-imex inside one process: each failure that can be ordered, and wrong use."""

import signal

import pytest

from nvdra.domains.imex_daemon.symptoms import symptom_of, unreachable
from nvdra.errors import Refused
from nvdra.sim.imex.processes import import_memory
from nvdra.sim.imex.settings import ImexFault, control_of


async def test_one_session_a_node(domain, tmp_path, started):
    """A second instance on a node ends with the driver's error, and the first is not harmed."""
    nodes = domain(1)
    await started(nodes)
    second = await nodes[0].processes.start(
        [str(nodes[0].driver.programs / "nvidia-imex"), "-c", str(nodes[0].config)], lambda _: None
    )
    ended = await second.wait()
    assert (ended.code, symptom_of(ended).reason) == (1, "ImexSessionInUse")
    assert await nodes[0].ctl.state() == "READY"


async def test_a_taken_port_is_said(domain):
    """An instance whose port is taken ends, and its reason names the port."""
    nodes = domain(2)
    nodes[1].address = nodes[0].address
    nodes[1].write(nodes[1].names)
    await nodes[0].start()
    await nodes[0].becomes("READY")
    ended = await (await nodes[1].start()).wait()
    assert ended.code == 1
    assert symptom_of(ended).text.startswith("port 50000 in use: ")


async def test_ordered_failures(domain):
    """Exit at start, a late crash, a late readiness and another exit code: each happens as ordered."""
    (node,) = domain(1)
    node.control(exit_at_start="Failed to open /dev/nvidiactl")
    assert symptom_of(await (await node.start()).wait()).reason == "DriverNotUsable"

    node.control(crash={"after": 0.1, "code": 7})
    assert (await (await node.start()).wait()).code == 7

    node.control(ready_after=30)
    await node.start()
    await node.becomes("INIT_GPU")
    node.control()
    await node.becomes("READY")
    node.control(crash={"code": 3})
    assert (await node.child.wait()).code == 3


async def test_a_start_delay_can_be_stopped(domain):
    """SIGTERM is obeyed before anything has begun, and the tool finds nobody."""
    (node,) = domain(1)
    node.control(start_delay=60)
    await node.start()
    assert await node.ctl.state() == "UNAVAILABLE"
    assert await node.end(signal.SIGTERM) == 0


async def test_unreachable_peers_come_back(domain, started):
    """A peer that is cut off is recovering and named; nothing is lost; it is connected when the cut ends."""
    nodes = domain(3)
    await started(nodes)
    await import_memory(nodes[1].child, nodes[0].child)
    nodes[0].control(unreachable=["imex-t-0001"])
    view = await nodes[0].sees(lambda view: view.row(0) == "CRC")
    told = unreachable(view, 0, {1: "b", 2: "c"}).text
    assert told.startswith("not connected to 1 of 2 peers: b (connection being recovered)")
    nodes[0].control()
    for node in nodes[:2]:
        await node.sees(lambda view: view.status == "UP")
    assert nodes[0].lost == 0


async def test_another_version_is_refused(domain):
    """A node of another version is not connected, with the letter for it."""
    nodes = domain(2)
    nodes[1].control(version="570.158.01")
    for node in nodes:
        await node.start()
    view = await nodes[0].sees(lambda view: view.row(0) == "CV")
    assert unreachable(view, 0, {1: "b"}).reason == "PeersOfOtherVersion"


async def test_hanging_and_slow_tools(domain, until, started):
    """A tool that hangs is given up after its limit; a slow one answers late, but answers."""
    (node,) = domain(1)
    await started([node])
    node.control(hang_ctl=True)
    argv = [str(node.driver.programs / "nvidia-imex-ctl"), "-c", str(node.config), "-q"]
    assert await node.processes.run(argv, 0.1) is None
    node.control(slow=0.3)
    await until(lambda: node.child.imex.mesh.control.slow)
    assert await node.processes.run(argv, 0.05) is None
    assert await node.ctl.state() == "READY"


async def test_faulty_files_end_it_with_their_name(domain):
    """No configuration, no list, an address that is in no line: each ends it with a sentence."""
    (node,) = domain(1)
    node.config.unlink()
    assert "imexd.cfg" in (await (await node.start()).wait()).tail[-1]
    node.write([])
    assert "lists no nodes" in (await (await node.start()).wait()).tail[-1]
    node.write(["somebody-else"])
    assert symptom_of(await (await node.start()).wait()).reason == "OwnNodeNotListed"


async def test_what_it_cannot_do_is_refused(domain):
    """Other programs, missing programs, unknown arguments and imports without a connection are refused by name."""
    nodes = domain(2)
    await nodes[0].start()
    await nodes[0].becomes("READY")
    with pytest.raises(Refused, match="nvidia-smi"):
        await nodes[0].processes.start(["nvidia-smi"], print)
    with pytest.raises(Refused, match="/no/nvidia-imex"):
        await nodes[0].processes.start(["/no/nvidia-imex"], print)
    told = await nodes[0].processes.run(["nvidia-imex-ctl", "-s"], 1)
    assert (told.code, "Invalid argument -s" in told.stderr) == (1, True)
    with pytest.raises(ImexFault, match="not connected to node 1"):
        await nodes[0].child.imex.import_memory(1)


async def test_an_unusable_value_and_a_missing_list_are_said(domain):
    """The file that is wrong is named."""
    (node,) = domain(1)
    (node.root / "nodes.cfg").unlink()
    assert "nodes.cfg" in (await (await node.start()).wait()).tail[-1]
    node.config.write_text("SERVER_PORT=many\n")
    assert "imexd.cfg" in (await (await node.start()).wait()).tail[-1]


def test_control_files_are_checked():
    """A failure that does not exist is an error, so that a test cannot order nothing by mistake."""
    with pytest.raises(ValueError, match="hang; known: start_delay"):
        control_of({"hang": True})
