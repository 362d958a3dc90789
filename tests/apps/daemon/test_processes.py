"""`nvdra imex-daemon run` and `check` as processes, with the rack's programs, against the embedded API server."""

import asyncio
import re
import signal
import time
from pathlib import Path

import pytest

from tests.apps.daemon.conftest import until


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _resident(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


async def test_three_daemons_become_one_imex_domain(rack, capsys):
    """Each is ready and connected to each, probes and status say so, an address that moves is told, all end cleanly."""
    nodes = [rack.node() for _ in range(3)]
    began = time.monotonic()
    for node in nodes:
        await node.start()
    await until(lambda: all(node.status for node in nodes))
    spent = time.monotonic() - began
    assert nodes[0].status["state"] == "Preparing.Joining"
    status, body = await nodes[0].get("/readyz")
    assert (status, "yet" in body) == (503, True)
    assert (await nodes[0].check())[::2] == (1, body)
    held = [asyncio.create_task(node.get("/readyz/wait")) for node in nodes]
    await rack.list(*nodes)
    assert await asyncio.gather(*held) == [(200, "ok\n")] * 3
    assert await nodes[0].check() == (0, "", "")
    assert (await nodes[0].get("/livez"))[0] == 200
    await until(lambda: all(n.output.count(b"Connection established") >= 2 for n in nodes))
    told = nodes[0].status
    assert (told["state"], told["ready"], told["reason"], told["index"]) == ("Running.Ready", True, "", 0)
    assert _lives(told["pid"])
    resident = _resident(nodes[0].process.pid)
    with capsys.disabled():
        print(f"\nimex-daemon: three joining after {spent:.2f} s, resident {resident / 1024:.1f} MB")
    assert resident < 40 * 1024
    await rack.list(nodes[0], nodes[1])  # the third leaves the list: two are told, its own instance is left alone
    await until(lambda: b"Re-resolving" in nodes[0].output and b"Re-resolving" in nodes[1].output)
    assert [node.status["pid"] for node in nodes[:1]] == [told["pid"]]
    assert [await node.end() for node in nodes] == [0, 0, 0]
    assert all(b"Shutting down" in node.output for node in nodes)
    assert [node.last_words for node in nodes] == ["", "", ""]
    assert not _lives(told["pid"])


async def test_a_daemon_that_is_killed_takes_its_imex_along(rack):
    """SIGKILL of the daemon: the kernel asks nvidia-imex to end, and the next daemon on the node becomes ready."""
    node = rack.node()
    await rack.list(node)
    await node.start()
    await until(lambda: node.status.get("ready"))
    first = node.status["pid"]
    assert await node.end(signal.SIGKILL) == -9
    await until(lambda: not _lives(first))
    await node.start()
    await until(lambda: node.status.get("ready") and node.status["pid"] not in {None, first})
    assert await node.end() == 0


async def test_failures_are_named_in_status_and_probes(rack):
    """A port in use by somebody else is the reason, ever more rarely tried again, and gone when the cause is."""
    node = rack.node()
    node.control(exit_at_start=f"Failed to bind {node.address}:50000: Address already in use")
    await rack.list(node)
    await node.start()
    await until(lambda: "port 50000 in use" in node.status.get("reason", ""))
    assert (await node.get("/readyz"))[0] == 503
    node.control()
    await until(lambda: node.status["ready"])
    pid = node.status["pid"]
    node.control(crash={"after": 0, "code": 7})
    await until(lambda: "exited with code 7" in node.status["reason"])
    assert not node.status["ready"]
    node.control()
    await until(lambda: node.status["ready"] and node.status["pid"] != pid)
    assert await node.end() == 0


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("COMPUTE_DOMAIN_UUID", "CDI edits did not apply"),
        ("NODE_NAME", "NODE_NAME is not set"),
        ("POD_IP", "POD_IP is not set"),
        ("programs", "IMEX binary missing"),
    ],
)
async def test_what_cannot_start_says_why_and_exits_with_1(rack, missing, words):
    """A container that lacks what it needs leaves the reason where the kubelet reads it."""
    node = rack.node()
    if missing == "programs":
        (node.root / "usr").unlink()
    await node.start(**{missing: ""})
    assert await node.process.wait() == 1
    assert words in node.last_words


async def test_a_node_without_fabric_is_ready_and_runs_nothing(rack):
    """No clique: ready at once, no file of IMEX, no call to the API, no child."""
    node = rack.node()
    before = rack.api.counters.snapshot()
    await node.start(CLIQUE_ID="")
    await until(lambda: node.status.get("ready"))
    assert await node.get("/readyz/wait") == (200, "this node has no NVLink fabric, so no IMEX daemon is needed\n")
    assert not (node.root / "imexd/nodes.cfg").exists()
    assert (rack.api.counters.snapshot() - before).total() == 0
    assert await node.end() == 0


async def test_a_bad_number_is_named(rack):
    """MAX_NODES_PER_IMEX_DOMAIN that is none."""
    node = rack.node()
    await node.start(MAX_NODES_PER_IMEX_DOMAIN="many")
    assert await node.process.wait() == 1
    assert "MAX_NODES_PER_IMEX_DOMAIN='many'" in node.last_words
