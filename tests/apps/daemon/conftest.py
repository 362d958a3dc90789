"""Nodes with real files and pretend drivers, an API server over HTTP, and hands that write rosters."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import define, field

pytest.importorskip("aiohttp")
from nvdra.adapters.http.client import HttpClient
from nvdra.adapters.http.connection import Endpoint
from nvdra.api import kinds, names
from nvdra.sim.apiserver.inprocess import InProcess
from nvdra.sim.apiserver.server import ApiServer, kubeconfig
from nvdra.sim.nvml import make_driver_root
from tests.builders import CRDS, NAMESPACES, OWN, definitions

DOMAIN, CLIQUE = "11111111-2222-3333-4444-555555555555", "cluster.1"
NET = f"127.{64 + os.getpid() % 64}.{os.getpid() // 64 % 256}"
"""Addresses of our own, so that test runs beside each other do not meet."""
RUN = "import sys; from nvdra.apps.daemon import run_daemon; sys.exit(run_daemon())"
CHECK = "import sys; from nvdra.apps.daemon import check; sys.exit(check())"


async def until(true: Callable[[], object], limit: float = 20.0) -> None:
    async with asyncio.timeout(limit):
        while not true():
            await asyncio.sleep(0.01)


@define(eq=False)
class Node:
    """One node's rootfs, its driver, and its daemon as a process."""

    root: Path
    index: int
    kubeconfig: Path
    domain: str = DOMAIN
    process: asyncio.subprocess.Process | None = None
    output: bytes = b""
    _reader: asyncio.Task | None = None
    driver: object = field(init=False)

    def __attrs_post_init__(self) -> None:
        for folder in ("etc", "dev", "imexd"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "etc/hosts").write_text("127.0.0.1\tlocalhost\n")
        (self.root / "dev/termination-log").write_text("")
        self.driver = make_driver_root(self.root, self.root / "etc/hosts")
        (self.root / "usr").symlink_to(self.root / "driver/usr")

    @property
    def name(self) -> str:
        return f"node-{self.index}"

    @property
    def address(self) -> str:
        return f"{NET}.{self.index + 1}"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "CLIQUE_ID": CLIQUE, "COMPUTE_DOMAIN_UUID": self.domain, "NODE_NAME": self.name, "POD_IP": self.address,
            "POD_NAMESPACE": OWN, "NVDRA_ROOT": str(self.root), "KUBECONFIG": str(self.kubeconfig), "PATH": os.environ["PATH"],
            "MAX_NODES_PER_IMEX_DOMAIN": "18", "DRIVER_VERSION": "580.95.05",
        }  # fmt: skip

    async def start(self, **more: str) -> None:
        environ = {name: value for name, value in (self.environ | more).items() if value}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RUN, env=environ, stdout=-1, stderr=asyncio.subprocess.STDOUT
        )
        self._reader = asyncio.create_task(self._read())

    async def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        code = await self.process.wait()
        await self._reader
        return code

    async def check(self) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHECK, env=self.environ, stdout=-1, stderr=-1
        )
        out, errors = await process.communicate()
        return process.returncode, out.decode(), errors.decode()

    @property
    def status(self) -> dict:
        path = self.root / "imexd/status.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def last_words(self) -> str:
        return (self.root / "dev/termination-log").read_text()

    def control(self, **told: object) -> None:
        aside = self.root / "aside"
        aside.write_text(json.dumps(told))
        aside.rename(self.root / "imex-control.json")

    async def get(self, path: str) -> tuple[int, str]:
        client = HttpClient(Endpoint(self.address, 50010))
        try:
            answer = await client.request("GET", path)
        finally:
            await client.close()
        return answer.status, answer.body.decode()

    async def _read(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            self.output += line


def roster(nodes: list[Node], status: str) -> dict:
    daemons = [
        {"nodeName": n.name, "ipAddress": n.address, "cliqueID": CLIQUE, "index": n.index, "status": status}
        for n in nodes
    ]
    return {
        "metadata": {"name": names.roster_name(DOMAIN, CLIQUE), "namespace": OWN},
        "cliqueID": CLIQUE,
        "daemons": daemons,
    }


@define(eq=False)
class Rack:
    api: ApiServer
    folder: Path
    nodes: list[Node] = field(factory=list)

    @property
    def hands(self) -> InProcess:
        return InProcess(self.api.store, "hands")

    def node(self) -> Node:
        (self.folder / "kubeconfig").write_text(kubeconfig(self.api.url))
        index = len(self.nodes)
        self.nodes.append(Node(self.folder / f"node-{index}", index, self.folder / "kubeconfig"))
        return self.nodes[-1]

    async def list(self, *nodes: Node, status: str = "NotReady") -> None:
        """Make the roster say so."""
        body = roster(list(nodes), status)
        found = await self.hands.list(kinds.ROSTERS, OWN)
        if not found.items:
            await self.hands.create(kinds.ROSTERS, body, OWN)
        else:
            await self.hands.patch(kinds.ROSTERS, body["metadata"]["name"], {"daemons": body["daemons"]}, OWN)


@pytest.fixture
async def rack(tmp_path):
    async with ApiServer() as api:
        rack = Rack(api, tmp_path)
        for definition in definitions():
            await rack.hands.create(CRDS, definition)
        await rack.hands.create(NAMESPACES, {"metadata": {"name": OWN}})
        yield rack
        for node in rack.nodes:
            if node.process is not None:
                await node.end(signal.SIGKILL)
