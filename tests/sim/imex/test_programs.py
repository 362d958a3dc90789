"""The pretend programs as processes of their own, started through their shims on real sockets."""

import asyncio
import json
import signal
from pathlib import Path

from nvdra.domains.imex_daemon.symptoms import symptom_of


async def test_three_programs_are_one_domain_and_lose_memory(three, until):
    """They connect over TCP, import through the command, and a killed exporter's new instance is seen as one."""
    for node in three:
        await node.start()
    for node in three:
        await node.becomes("READY")
    await three[0].sees(lambda view: view.status == "UP")
    imported = [str(three[2].driver.programs / "nvdra-sim-imex-import"), str(three[2].config), "0"]
    assert (await three[2].processes.run(imported, 5)).code == 0

    await three[0].end(signal.SIGKILL)
    await three[1].end(signal.SIGTERM)
    await three[2].sees(lambda view: view.row(2) == "RDC")
    await three[0].start()
    await three[0].becomes("READY")
    await until(lambda: three[2].lost == 1)


async def test_the_tools_contract(three):
    """-q is one word, -N is a table, -N -j is JSON of the real one's shape, and nobody there is UNAVAILABLE."""
    node = three[0]
    tool = [str(node.driver.programs / "nvidia-imex-ctl"), "-c", str(node.config)]
    before = await node.processes.run([*tool, "-q"], 5)
    await node.start()
    await node.becomes("READY")
    word, table, told, wrong = [
        await node.processes.run([*tool, *a], 5) for a in (["-q"], ["-N"], ["-N", "-j"], ["-x"])
    ]

    assert (before.code, before.stdout) == (1, "UNAVAILABLE\n")
    assert (word.code, word.stdout, word.stderr) == (0, "READY\n", "")
    assert "Domain State: DOWN" in table.stdout
    view = json.loads(told.stdout)
    assert view["nodes"]["0"]["connections"]["1"] == {
        "host": "imex-p-0001",
        "status": "NEVER_CONNECTED",
        "changed": True,
    }
    assert (wrong.code, wrong.stdout) == (1, "")


async def test_a_port_taken_by_somebody_else_is_said(three, net):
    """The real bind fails when another program listens there."""
    other = await asyncio.start_server(lambda _, w: w.close(), f"{net}.1", 50000)
    ended = await (await three[0].start()).wait()
    other.close()
    await other.wait_closed()
    assert ended.code == 1
    assert symptom_of(ended).text.startswith("port 50000 in use: ")


async def test_one_session_a_node_between_programs(three):
    """The lock holds between processes and goes with its holder, even a killed one."""
    node = three[0]
    first = await node.start()
    await node.becomes("READY")
    ended = await (await node.start()).wait()
    assert symptom_of(ended).reason == "ImexSessionInUse"
    first.signal(signal.SIGKILL)
    await first.wait()
    await node.start()
    await node.becomes("READY")


async def test_a_signal_during_start_up_does_not_kill(three, until):
    """SIGUSR1 before the program listens for signals is lost, as in its deaf time."""
    node = three[0]
    child = await node.start()
    await until(lambda: node.lines or b"python" in _command(child.pid))
    child.signal(signal.SIGUSR1)
    await node.becomes("READY")


async def test_a_hanging_tool_is_killed(three):
    """hang_ctl holds the tool for good, so the caller's limit ends it."""
    node = three[0]
    node.control(hang_ctl=True)
    tool = [str(node.driver.programs / "nvidia-imex-ctl"), "-c", str(node.config), "-q"]
    assert await node.processes.run(tool, 0.3) is None


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
