"""Where it is measured: an API server of our own as a process, or the one that a kubeconfig names."""

import asyncio
import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from attrs import define, field

from nvdra.adapters.kube.config import load
from nvdra.adapters.processes import AsyncProcesses, ChildProcess
from nvdra.api import names
from nvdra.errors import NvdraError
from nvdra.sim import manifests
from nvdra.sim.scale.proc import Usage
from nvdra.sim.scale.wire import Ask, Refusal, Wire

AGENT = "nvdra-scale"
DOMAINS_PATH = f"/apis/{names.GROUP}/{names.VERSION}/namespaces/default/computedomains"
START_LIMIT = 20.0
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@define(eq=False)
class Place:
    """`async with Place(kubeconfig) as place: …`. `pids`: the API server's processes, as far as they can be seen."""

    given: str = ""
    rate: float = 0.0
    pids: tuple[int, ...] = ()
    folder: Path = field(init=False)
    kubeconfig: Path = field(init=False)
    wire: Wire = field(init=False)
    _server: ChildProcess | None = field(default=None, init=False)
    _kept: contextlib.ExitStack = field(factory=contextlib.ExitStack, init=False)

    @property
    def embedded(self) -> bool:
        """The API server is ours."""
        return not self.given

    async def __aenter__(self) -> "Place":
        self.folder = Path(self._kept.enter_context(tempfile.TemporaryDirectory(prefix="nvdra-scale-")))
        self.kubeconfig = Path(self.given) if self.given else self.folder / "kubeconfig"
        if self.embedded:
            await self._start()
        self.wire = Wire(load(str(self.kubeconfig)))
        await self._install()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.wire.close()
        if self._server is not None:
            await end(self._server)
        self._kept.close()

    async def _start(self) -> None:
        command = [sys.executable, "-m", "nvdra.sim.scale.server", str(self.kubeconfig), "--rate", str(self.rate)]
        server = await AsyncProcesses().start(command, lambda line: print(line, file=sys.stderr))
        self._server, self.pids = server, (server.pid,)
        async with asyncio.timeout(START_LIMIT):
            while not self.kubeconfig.exists():
                if server.exited is not None:
                    raise NvdraError("the embedded API server ended at once; what it said is above")
                await asyncio.sleep(0.02)

    async def _install(self) -> None:
        """What every cluster that has the driver has; what is there already stays."""
        for body in (manifests.namespace("default"), manifests.namespace(names.DRIVER_NAMESPACE)):
            await self._offer("namespaces", "/api/v1/namespaces", body)
        for crd in manifests.crds():
            await self._offer("customresourcedefinitions", _CRDS, crd)
        for body in manifests.device_classes() if self.embedded else ():
            await self._offer("deviceclasses", "/apis/resource.k8s.io/v1/deviceclasses", body)
        if not self.embedded:  # pods are taken only with a service account, which a controller makes that may be away
            account = {"metadata": {"name": "default"}}
            path = f"/api/v1/namespaces/{names.DRIVER_NAMESPACE}/serviceaccounts"
            await self._offer("serviceaccounts", path, account, needless=404)  # a rack has none
        async with asyncio.timeout(START_LIMIT):
            while not await self._serves():  # noqa: ASYNC110 - another program's state; it has no event
                await asyncio.sleep(0.1)

    async def _serves(self) -> bool:
        try:
            await self.get("computedomains", DOMAINS_PATH)
        except Refusal:
            return False
        return True

    async def _offer(self, resource: str, path: str, body: dict[str, Any], needless: int = 409) -> None:
        try:
            await self.create(resource, path, body)
        except Refusal as error:
            if error.code not in (409, needless):
                raise

    async def get(self, resource: str, path: str) -> Any:
        """Read something as whoever measures."""
        return msgspec.json.decode(await self.wire.send(Ask(AGENT, "get", resource, path)))

    async def there(self, path: str) -> bool:
        """Whether an object exists."""
        try:
            await self.wire.send(Ask(AGENT, "get", "object", path))
        except Refusal as error:
            if error.code != 404:
                raise
            return False
        return True

    async def create(self, resource: str, path: str, body: dict[str, Any], agent: str = AGENT) -> Any:
        """Make something."""
        ask = Ask(agent, "create", resource, path, msgspec.json.encode(body))
        return msgspec.json.decode(await self.wire.send(ask))

    async def patch(
        self, resource: str, path: str, body: Any, agent: str = AGENT, how: str = "merge-patch+json"
    ) -> Any:
        """Change something."""
        ask = Ask(agent, "patch", resource, path, msgspec.json.encode(body), f"application/{how}")
        return msgspec.json.decode(await self.wire.send(ask))

    async def delete(self, resource: str, path: str) -> None:
        """Delete something."""
        await self.wire.send(Ask(AGENT, "delete", resource, path))

    def cpu(self) -> float:
        """CPU seconds of the API server's processes so far; 0 when they cannot be seen."""
        return sum(Usage.of(pid).cpu for pid in self.pids)

    async def watched(self) -> dict[str, int]:
        """Bytes to each watcher, where the server tells."""
        if not self.embedded:
            return {}
        return dict((await self.get("counters", "/sim/counters"))["watchedBytes"])


async def end(process: ChildProcess, limit: float = 10.0) -> None:
    """SIGTERM, then SIGKILL."""
    process.signal(15)
    try:
        async with asyncio.timeout(limit):
            await process.wait()
    except TimeoutError:
        process.signal(9)
        await process.wait()


def told(line: bytes) -> tuple[str, dict[str, Any]]:
    """Type and object of a line of a watch."""
    read = json.loads(line)
    return read["type"], read["object"]
