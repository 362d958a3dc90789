"""Many daemons inside one process, and what the process imports."""

import asyncio
import socket
import subprocess
import sys

import attrs
import pytest

from nvdra.apps.daemon import ImexDaemon, settings_of
from nvdra.apps.daemon_probe import Rhythm
from nvdra.apps.daemon_settings import driver_version_below
from nvdra.sim.imex.network import MemoryNetwork
from nvdra.sim.imex.processes import PretendProcesses
from nvdra.sim.imex.settings import place_of
from tests.apps.daemon.conftest import until

HEAVY = ("kubernetes", "aiohttp", "grpc", "pynvml", "prometheus_client", "click", "cattrs", "yaml", "google")


def test_nothing_heavy_is_imported():
    """Start-up time and memory are features: the daemon pulls in none of the heavy packages."""
    code = f"import sys, nvdra.apps.daemon; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


async def test_eighteen_daemons_in_one_process(rack):
    """A whole IMEX domain of instances: all ready, all in one list, one watch and no write each, all ended cleanly."""
    network, nodes = MemoryNetwork(), [rack.node() for _ in range(18)]
    hands = [PretendProcesses(place_of(node.root, node.root / "etc/hosts"), network) for node in nodes]
    lines: list[str] = []
    client = rack.hands.__class__(rack.api.store, "daemons")
    daemons = [
        ImexDaemon(settings_of(node.environ), client, processes, forward=lines.append)
        for node, processes in zip(nodes, hands, strict=True)
    ]
    lives = [asyncio.create_task(daemon.run()) for daemon in daemons]
    await rack.list(*nodes)
    await until(lambda: all(daemon.status.ready for daemon in daemons))
    assert [node.status["index"] for node in nodes] == list(range(18))
    assert len({(node.root / "imexd/nodes.cfg").read_bytes() for node in nodes}) == 1
    await until(lambda: sum("Connection established" in line for line in lines) >= 18 * 17)
    for daemon in daemons:
        daemon.stop()
    assert await asyncio.gather(*lives) == [0] * 18
    asked = {(r.verb, r.resource) for r in rack.api.counters.snapshot().requests if r.agent == "daemons"}
    assert asked == {("list", "computedomaincliques"), ("watch", "computedomaincliques")}


async def test_peers_that_cannot_be_reached_are_named_beside_readiness(rack):
    """One direction is broken: the daemon stays ready, and its reason names the peer."""
    network, nodes = MemoryNetwork(), [rack.node() for _ in range(2)]
    often = Rhythm(view_first=0.1, view_waiting=0.1, view_ready=0.1, ready=0.1)
    nodes[0].control(unreachable=[nodes[1].address])
    daemons = [
        ImexDaemon(
            attrs.evolve(settings_of(node.environ), rhythm=often),
            rack.hands,
            PretendProcesses(place_of(node.root, node.root / "etc/hosts"), network),
            forward=lambda _: None,
        )
        for node in nodes
    ]
    lives = [asyncio.create_task(daemon.run()) for daemon in daemons]
    await rack.list(*nodes, status="Ready")
    await until(lambda: "not connected to 1 of 1 peers: node-1" in daemons[0].status.reason)
    assert daemons[0].status.ready
    nodes[0].control()
    await until(lambda: daemons[0].status.reason == "")
    for daemon in daemons:
        daemon.stop()
    assert await asyncio.gather(*lives) == [0, 0]


async def test_a_held_probe_gives_the_reason_in_the_end(rack):
    """When its time is over, the answer is 503 with what is waited for."""
    node = rack.node()
    processes = PretendProcesses(place_of(node.root, node.root / "etc/hosts"), MemoryNetwork())
    settings = attrs.evolve(settings_of(node.environ), hold=0.2)
    daemon = ImexDaemon(settings, rack.hands, processes, forward=lambda _: None)
    life = asyncio.create_task(daemon.run())
    await until(lambda: node.status)
    status, body = await node.get("/readyz/wait")
    assert (status, body) == (503, f"{daemon.status.reason}\n")
    assert "has not made the list" in body
    daemon.stop()
    assert await life == 0


async def test_a_lost_readiness_is_told_at_once(rack):
    """The kubelet, which takes it for ready, is not held; from then on it is, until IMEX is ready again."""
    node = rack.node()
    processes = PretendProcesses(place_of(node.root, node.root / "etc/hosts"), MemoryNetwork())
    often = attrs.evolve(settings_of(node.environ), rhythm=Rhythm(ready=0.05), hold=20)
    daemon = ImexDaemon(often, rack.hands, processes, forward=lambda _: None)
    life = asyncio.create_task(daemon.run())
    await rack.list(node)
    await until(lambda: daemon.status.ready)
    assert await node.get("/readyz/wait") == (200, "ok\n")
    node.control(crash={"after": 0, "code": 1})
    await until(lambda: not daemon.status.ready)
    assert (await node.get("/readyz/wait"))[0] == 503
    node.control()
    assert await node.get("/readyz/wait") == (200, "ok\n")
    daemon.stop()
    assert await life == 0


async def test_a_taken_probe_port_is_named(rack):
    """Nobody could see this daemon's readiness, so it ends with code 1 and says so."""
    node = rack.node()
    processes = PretendProcesses(place_of(node.root, node.root / "etc/hosts"), MemoryNetwork())
    with socket.create_server((node.address, 50010)):
        assert await ImexDaemon(settings_of(node.environ), rack.hands, processes).run() == 1
    assert "port 50010" in node.last_words


async def test_a_defect_ends_it_honestly(rack):
    """When a part breaks down, nvidia-imex is not left alone without supervision: exit code 2 and the reason."""

    class Broken(type(rack.hands)):
        async def list(self, *_args, **_more):
            raise RuntimeError("boom")

    node = rack.node()
    processes = PretendProcesses(place_of(node.root, node.root / "etc/hosts"), MemoryNetwork())
    daemon = ImexDaemon(settings_of(node.environ), Broken(rack.api.store), processes)
    assert await daemon.run() == 2
    assert "RuntimeError('boom')" in node.last_words


@pytest.mark.parametrize(("file", "version"), [("usr/lib64/libnvidia-ml.so.570.124.06", "570.124.06"), ("x", "")])
def test_the_drivers_version_is_read_from_its_librarys_name(tmp_path, file, version):
    """For plugins that do not say it; not known is taken for new."""
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    assert driver_version_below(tmp_path) == version


def test_addresses_of_both_families_and_defaults():
    """POD_IPS adds the second family; the first is what IMEX's commands are bound to."""
    settings = settings_of(
        {
            "COMPUTE_DOMAIN_UUID": "u",
            "CLIQUE_ID": "c.1",
            "NODE_NAME": "n",
            "POD_NAMESPACE": "ns",
            "POD_IP": "fd00:0::1",
            "POD_IPS": "fd00::1,10.0.0.1",
        }
    )
    assert settings.identity.addresses == ("fd00::1", "10.0.0.1")
    assert b"IMEX_CMD_BIND_INTERFACE_IP=fd00::1\n" in settings.identity.config
    assert (settings.identity.slots, settings.health_port) == (18, 50010)
