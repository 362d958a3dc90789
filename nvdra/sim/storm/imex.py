"""A pretend nvidia-imex on virtual time: it reads its files at its start, and needs the node's one session."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from attrs import define, field

from nvdra.ports import Exit, Files, Output
from nvdra.sim.storm.clockwork import clock
from nvdra.sim.storm.life import Edge

HANDLERS_AFTER: Final = 0.4
READY_AFTER: Final = 0.8
DEAF: Final = 5.0
GOODBYE: Final = 0.2


class Host(Protocol):
    """The node as its nvidia-imex sees it."""

    session: "Instance | None"
    stuck: bool

    def imex_began(self, instance: "Instance") -> None:
        """One knows its place in a domain, and holds the node's session."""
        ...


@define(eq=False)
class Program:
    """Where a container's nvidia-imex reads its files, and who it is."""

    files: Files
    root: Path
    address: str
    domain: str
    clique: str
    node: str


@define(eq=False)
class Instance:
    """ports.Process: one nvidia-imex."""

    program: Program
    host: Host
    edge: Edge
    began: float = field(factory=clock)
    index: int = -1
    exited: Exit | None = None
    heard: float = -1e9
    ending: "asyncio.Future[int]" = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.ending = asyncio.get_running_loop().create_future()
        fault = self._begin()
        if fault:
            self.edge.ground.trace.note("node", f"nvidia-imex: {fault}", self.edge.name)
            self.end(1)

    def _begin(self) -> str:
        """Why it cannot run, "" when it can."""
        names = self._lines("imexd/nodes.cfg")
        hosts = [line.split("#")[0].split() for line in self._lines("etc/hosts")]
        mine = {name for address, *found in filter(None, hosts) for name in found if address == self.program.address}
        own = [index for index, name in enumerate(names) if name in mine]
        if not own:
            return "Unable to identify this node"
        if self.host.session is not None and not self.host.session.ending.done():
            return "Failed to allocate Imex session: NV_ERR_IN_USE"
        self.index, self.host.session = own[0], self
        self.host.imex_began(self)
        return ""

    def _lines(self, file: str) -> list[str]:
        return (self.program.files.read(self.program.root / file) or b"").decode().split("\n")

    @property
    def alive(self) -> bool:
        """It runs."""
        return not self.ending.done()

    @property
    def state(self) -> str:
        """What nvidia-imex-ctl -q prints."""
        if clock() - self.began < HANDLERS_AFTER:
            return "UNAVAILABLE"
        return "READY" if clock() - self.began >= READY_AFTER and not self.host.stuck else "WAITING_FOR_RECOVERY"

    def signal(self, number: int) -> None:
        """As the real one takes signals: early ones kill it, and after a refresh it is deaf for a while."""
        if number == signal.SIGUSR1:
            if clock() - self.began < HANDLERS_AFTER:
                self.end(-number)
            elif clock() - self.heard >= DEAF:
                self.heard = clock()
        elif number == signal.SIGTERM:
            asyncio.get_running_loop().call_later(GOODBYE, self.end, 0)
        else:
            self.end(-number)

    def end(self, code: int) -> None:
        """It ends, and gives its session back."""
        if not self.ending.done():
            self.ending.set_result(code)
            if self.host.session is self:
                self.host.session = None

    async def wait(self) -> Exit:
        """Wait for its end."""
        code = await asyncio.shield(self.ending)
        self.exited = Exit(code, ("nvidia-imex's last line",))
        return self.exited


@define(eq=False)
class Programs:
    """ports.Processes of one container."""

    program: Program
    host: Host
    edge: Edge
    running: list[Instance] = field(factory=list)

    async def start(self, argv: Sequence[str], on_line: Callable[[str], None]) -> Instance:
        """Start nvidia-imex."""
        self.edge.check()
        self.running = [one for one in self.running if one.alive]
        if self.running:
            self.edge.ground.broken(f"{self.edge.name} starts a second nvidia-imex beside a running one")
        self.running.append(Instance(self.program, self.host, self.edge))
        return self.running[-1]

    async def run(self, argv: Sequence[str], timeout: float) -> Output | None:
        """nvidia-imex-ctl: knows the state; the view of the domain it does not give here."""
        self.edge.check()
        await asyncio.sleep(0.004)
        if "-N" in argv:
            return Output(1, "")
        state: Any = next((one.state for one in self.running if one.alive), "UNAVAILABLE")
        return Output(0, f"{state}\n")

    def end(self) -> None:
        """The container ends: so does everything in it."""
        for one in self.running:
            one.end(-signal.SIGKILL)
