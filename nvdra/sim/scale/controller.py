"""The real controller, as a process: started, ended, and asked by its own metrics what it does."""

import asyncio
import os
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence

from attrs import define, field

from nvdra.adapters.http.client import HttpClient
from nvdra.adapters.http.connection import Endpoint, Unreachable
from nvdra.adapters.processes import AsyncProcesses, ChildProcess
from nvdra.errors import NvdraError
from nvdra.sim.scale.place import Place, end
from nvdra.sim.scale.proc import Usage

WRITES = ("create", "update", "patch", "delete")
UNCOUNTED = ("leases", "events")
QUIET_SECONDS = 1.0
_SAMPLE = re.compile(r"^(nvdra_\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@define(eq=False)
class State:
    """What the controller says of itself at one moment. Requests are (verb, resource, code)."""

    requests: Counter[tuple[str, str, str]] = field(factory=Counter)
    waiting: int = 0

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.requests.values())

    def writes(self) -> dict[str, int]:
        """By verb and resource, without Leases and Events."""
        found: Counter[str] = Counter()
        for (verb, resource, _), number in self.requests.items():
            if verb in WRITES and resource.split("/")[0] not in UNCOUNTED:
                found[f"{verb} {resource}"] += number
        return dict(sorted(found.items()))

    def since(self, before: "State") -> "State":
        """What came since."""
        return State(self.requests - before.requests, self.waiting)

    def conflicts(self) -> int:
        """Answers 409."""
        return sum(number for (_, _, code), number in self.requests.items() if code == "409")


@define(eq=False)
class ControllerProcess:
    """`async with ControllerProcess(place) as controller: …`."""

    place: Place
    arguments: Sequence[str] = ()
    started: float = field(default=0.0, init=False)
    tail: list[str] = field(factory=list, init=False)
    _process: ChildProcess | None = field(default=None, init=False)
    _http: HttpClient | None = field(default=None, init=False)

    async def __aenter__(self) -> "ControllerProcess":
        port = _free_port()
        environment = {**os.environ, "KUBECONFIG": str(self.place.kubeconfig), "HTTP_ENDPOINT": f"127.0.0.1:{port}"}
        command = [sys.executable, "-m", "nvdra", "controller", "--log-level", "warning", *self.arguments]
        self.started = time.monotonic()
        self._process = await AsyncProcesses(environment).start(command, self._said)
        self._http = HttpClient(Endpoint("127.0.0.1", port))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()
        if self._process is not None:
            await end(self._process)

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def usage(self) -> Usage:
        """Memory and CPU now."""
        if self._process is None or self._process.exited is not None:
            raise NvdraError("\n".join(["the controller has ended:", *self.tail[-10:]]))
        return Usage.of(self.pid)

    async def state(self) -> State:
        """From its metrics; an empty one while it does not answer yet."""
        self.usage()
        assert self._http is not None
        try:
            body = (await self._http.request("GET", "/metrics", timeout=60)).body.decode()
        except Unreachable:
            return State(waiting=-1)
        state = State()
        for name, labels, value in _SAMPLE.findall(body):
            if name == "nvdra_queue_keys":
                state.waiting = int(float(value))
            if name == "nvdra_api_requests_total":
                said = dict(_LABEL.findall(labels))
                state.requests[said["verb"], said["resource"], said["code"]] += int(float(value))
        return state

    async def ready(self) -> bool:
        """All of its watches are open."""
        assert self._http is not None
        try:
            return (await self._http.request("GET", "/readyz", timeout=60)).status == 200
        except Unreachable:
            return False

    async def quiet(self, limit: float) -> float:
        """Wait until it is ready, has nothing to do and asks nothing; the seconds from its start until it was so."""
        deadline = time.monotonic() + limit
        since, last = time.monotonic(), (-1, 0.0)
        while time.monotonic() - since < QUIET_SECONDS:
            if time.monotonic() > deadline:
                raise NvdraError(f"the controller was not quiet within {limit:.0f} s")
            state, cpu = await self.state(), self.usage().cpu
            busy = state.waiting != 0 or state.total != last[0] or cpu - last[1] > 0.05 or not await self.ready()
            last = (state.total, cpu)
            if busy:
                since = time.monotonic()
            await asyncio.sleep(0.1)
        return since - self.started

    def _said(self, line: str) -> None:
        self.tail = [*self.tail[-50:], line]


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
