"""ports.Processes for a node whose nvidia-imex is a task inside this process: racks of hundreds of nodes."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from nvdra.errors import Refused
from nvdra.ports import Exit, Output
from nvdra.sim.imex import ctl
from nvdra.sim.imex.instance import PretendImex
from nvdra.sim.imex.network import Link, MemoryNetwork, Message
from nvdra.sim.imex.settings import ControlFile, ImexFault, Place

_TAIL = 20


class PretendProcess:
    """An instance as if it were a child process."""

    def __init__(self, imex: PretendImex, tail: deque[str]) -> None:
        self.imex = imex
        self._tail = tail
        self._exit: Exit | None = None
        self._life = asyncio.create_task(self._live())

    @property
    def exited(self) -> Exit | None:
        """None while it runs."""
        return self._exit

    def signal(self, number: int) -> None:
        """Send a signal; no error when it has ended meanwhile."""
        if self._exit is None:
            self.imex.signal(number)

    async def wait(self) -> Exit:
        """Wait for its end."""
        return await asyncio.shield(self._life)

    async def _live(self) -> Exit:
        code = await self.imex.run()
        self._exit = Exit(code, tuple(self._tail))
        return self._exit


class PretendProcesses:
    """One node's programs. All nodes that shall reach each other share one network."""

    def __init__(self, place: Place, network: MemoryNetwork) -> None:
        self._place, self._network = place, network
        self._children: list[PretendProcess] = []

    async def start(self, argv: Sequence[str], on_line: Callable[[str], None]) -> PretendProcess:
        """Start `nvidia-imex -c FILE`; Refused for every other program."""
        config_path = _imex_config(argv)
        tail: deque[str] = deque(maxlen=_TAIL)

        def write(line: str) -> None:
            tail.append(line)
            on_line(line)

        process = PretendProcess(PretendImex(config_path, self._place, self._network, write), tail)
        self._children = [*(child for child in self._children if child.exited is None), process]
        return process

    async def run(self, argv: Sequence[str], timeout: float) -> Output | None:
        """Run nvidia-imex-ctl; None when it did not answer in `timeout` seconds."""
        _present(argv[0], "nvidia-imex-ctl")
        try:
            request = ctl.request_of(argv[1:])
        except ImexFault as fault:
            return Output(1, "", f"{fault}\n")
        try:
            async with asyncio.timeout(timeout):
                text, code = ctl.shown(request, await self._asked(request))
        except TimeoutError:
            return None
        return Output(code, text)

    async def stop(self, number: int = 9) -> None:
        """End everything that was started here, as a node's power button would."""
        for child in self._children:
            child.signal(number)
        await asyncio.gather(*(child.wait() for child in self._children))

    async def _asked(self, request: ctl.Request) -> Message | None:
        while ControlFile(self._place.control).look().hang_ctl:  # noqa: ASYNC110 - it hangs, as the real one does
            await asyncio.sleep(0.05)  # a file cannot wake us
        answer: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()

        def settle(value: Message | None) -> None:
            if not answer.done():
                answer.set_result(value)

        link = Link(lambda _, told: settle(told), lambda _: settle(None), lambda open_: open_.send(request.ask))
        self._network.dial(request.address, request.port, link)
        try:
            return await answer
        finally:
            link.close()


async def import_memory(exporter: PretendProcess, importer: PretendProcess) -> None:
    """Make one node hold a piece of the other's memory."""
    mesh = exporter.imex.mesh
    if mesh is None:
        raise ImexFault("Import failed: the exporter has not started")
    await importer.imex.import_memory(mesh.who.own)


def _imex_config(argv: Sequence[str]) -> Path:
    _present(argv[0], "nvidia-imex")
    return Path(argv[2]) if len(argv) > 2 and argv[1] == "-c" else Path("/etc/nvidia-imex/config.cfg")


def _present(program: str, expected: str) -> None:
    """A path must be there, as for real programs; what is run is always the pretend one."""
    if Path(program).name != expected:
        raise Refused(f"{program}: the rack inside one process runs {expected} only", reason="ProgramMissing")
    if "/" in program and not Path(program).exists():
        raise Refused(f"{program}: no such program on this node", reason="ProgramMissing")
