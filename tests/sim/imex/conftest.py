"""Builders for pretend IMEX domains: nodes in memory or as programs, and waiting for what must become true."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from nvdra.adapters.imex.ctl import ImexCtl
from nvdra.adapters.processes import AsyncProcesses
from nvdra.domains.imex_daemon.config import ImexSettings, imex_config, nodes_file
from nvdra.domains.imex_daemon.hosts import rewritten
from nvdra.domains.imex_daemon.views import DomainView
from nvdra.ports import Process, Processes
from nvdra.sim.imex.books import lost_imports
from nvdra.sim.imex.network import MemoryNetwork
from nvdra.sim.imex.processes import PretendProcesses
from nvdra.sim.nvml import DriverRoot, make_driver_root


async def _until(true: Callable[[], object], limit: float = 8.0) -> None:
    """Return once it is so; TimeoutError names nothing, so keep the condition short."""
    async with asyncio.timeout(limit):
        while not true():
            await asyncio.sleep(0.01)


class PretendNode:
    """One node of a domain with its files; `processes` decides whether its IMEX is a program or a task."""

    def __init__(self, folder: Path, index: int, names: list[str], address: str, processes=None) -> None:
        self.index, self.names, self.address = index, names, address
        self.root = folder / f"node-{index}"
        self.root.mkdir()
        self.driver: DriverRoot = make_driver_root(self.root, self.root / "hosts")
        self.config = self.root / "imexd.cfg"
        self.lines: list[str] = []
        self.processes: Processes = processes(self) if processes else None  # type: ignore[assignment]
        self.child: Process | None = None
        self.write(names)

    def write(self, names: list[str], quorum: str = "RECOVERY") -> None:
        (self.root / "nodes.cfg").write_bytes(nodes_file(names))
        settings = ImexSettings(self.address, str(self.root / "nodes.cfg"), quorum=quorum)
        self.config.write_bytes(imex_config(settings))

    def resolve(self, addresses: dict[str, str | tuple[str, ...]]) -> None:
        """Fill the hosts file; names without an address are empty slots."""
        path = self.root / "hosts"
        before = path.read_bytes() if path.exists() else b"127.0.0.1\tlocalhost\n"
        wanted = {name: addresses.get(name, ()) for name in self.names}
        found = {name: (a,) if isinstance(a, str) else a for name, a in wanted.items()}
        path.write_bytes(rewritten(before, found))

    def control(self, **told: object) -> None:
        """Order failures."""
        (self.root / "aside").write_text(json.dumps(told))
        (self.root / "aside").rename(self.driver.place.control)

    async def start(self) -> Process:
        argv = [str(self.driver.programs / "nvidia-imex"), "-c", str(self.config)]
        self.child = await self.processes.start(argv, self.lines.append)
        return self.child

    async def end(self, number: int) -> int:
        assert self.child is not None
        self.child.signal(number)
        return (await self.child.wait()).code

    @property
    def ctl(self) -> ImexCtl:
        return ImexCtl(self.processes, self.config, self.driver.programs / "nvidia-imex-ctl", limits=(3.0, 3.0))

    async def becomes(self, state: str, limit: float = 8.0) -> None:
        async with asyncio.timeout(limit):
            while await self.ctl.state() != state:
                await asyncio.sleep(0.02)

    async def sees(self, true: Callable[[DomainView], bool], limit: float = 8.0) -> DomainView:
        """The first view of which it is true."""
        async with asyncio.timeout(limit):
            while True:
                view = await self.ctl.domain()
                if view is not None and true(view):
                    return view
                await asyncio.sleep(0.02)

    def said(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    @property
    def lost(self) -> int:
        return lost_imports(self.root)


NET = f"127.{64 + os.getpid() % 64}.{os.getpid() // 64 % 256}"
"""Addresses of our own, so that test runs beside each other do not meet."""


@pytest.fixture
def net():
    """The first three bytes of addresses that belong to this test run."""
    return NET


@pytest.fixture
def until():
    """Waits for what must become true."""
    return _until


@pytest.fixture
async def three(tmp_path):
    """Three nodes with addresses of their own; killed at the end."""
    names = [f"imex-p-{index:04d}" for index in range(3)]
    addresses = {name: f"{NET}.{index + 1}" for index, name in enumerate(names)}
    nodes = [
        PretendNode(tmp_path, i, names, addresses[name], lambda _: AsyncProcesses()) for i, name in enumerate(names)
    ]
    for node in nodes:
        node.resolve(addresses)
    yield nodes
    for node in nodes:
        if node.child is not None:
            await node.end(signal.SIGKILL)


@pytest.fixture
async def domain(tmp_path):
    """Makes a domain of `count` members in a list of `slots`; everything is switched off at the end."""
    made = []

    def make(count: int, slots: int = 0):
        network = MemoryNetwork()
        names = [f"imex-t-{index:04d}" for index in range(slots or count)]
        addresses = {names[i]: f"10.0.{i // 250}.{i % 250 + 1}" for i in range(count)}
        for i in range(count):
            node = PretendNode(
                tmp_path, i, names, addresses[names[i]], lambda n: PretendProcesses(n.driver.place, network)
            )
            node.resolve(addresses)
            made.append(node)
        return made

    yield make
    for node in made:
        await node.processes.stop()


async def _started(nodes):
    for node in nodes:
        await node.start()
    for node in nodes:
        await node.becomes("READY")
    want = "C" * len(nodes)
    for node in nodes:
        await node.sees(lambda view, i=node.index: view.row(i).startswith(want))


@pytest.fixture
def started():
    """Starts nodes and waits until each is ready and connected to each."""
    return _started
