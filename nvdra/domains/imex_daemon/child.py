"""The one nvidia-imex of this process: started, signalled, and its end noticed. Decides nothing."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from typing import Final

import attrs
from attrs import define, field

from nvdra.domains.imex_daemon.snapshot import LIVES, Addresses, Life
from nvdra.domains.imex_daemon.symptoms import Ended
from nvdra.engine.store import Store
from nvdra.ports import Clock, Exit, Process, Processes

FIRST_PAUSE: Final = 1.0
LAST_PAUSE: Final = 60.0
GOOD_RUN: Final = 120.0
"""One that lasted so long has settled: its end begins a new count."""
ENDS_KEPT: Final = 10


@define(eq=False)
class Child:
    """At most one child at any time. What is known of it is in the store, as its `Life`."""

    processes: Processes
    store: Store
    clock: Clock
    argv: Sequence[str]
    on_line: Callable[[str], None]
    on_change: list[Callable[[], None]] = field(factory=list)
    on_heard: list[Callable[[], None]] = field(factory=list)
    """Called when it has printed something: a moment to ask how it is, whatever it said."""
    asked_at: float | None = field(default=None, init=False)
    """When it was asked to end."""
    killed: bool = field(default=False, init=False)
    _process: Process | None = field(default=None, init=False)
    _watch: asyncio.Task[None] | None = field(default=None, init=False)

    @property
    def life(self) -> Life:
        """What is known of it."""
        return self.store.get(LIVES, "imex") or Life()

    async def start(self, index: int, told: Addresses) -> None:
        """Start it at this place; Refused when it cannot be started."""
        assert self._process is None, "one nvidia-imex at a time"
        process = await self.processes.start(self.argv, self._hear)
        self._process = process
        before = self.life
        self._know(
            attrs.evolve(
                before,
                running=True,
                number=before.number + 1,
                # a rack's instance inside one process has none
                pid=getattr(process, "pid", None),
                began=self.clock(),
                index=index,
                told=told,
                told_at=None,
            )
        )
        self._watch = asyncio.create_task(self._until_end(process))

    def tell(self, told: Addresses) -> None:
        """Have it resolve its names again."""
        self._signal(signal.SIGUSR1)
        self._know(attrs.evolve(self.life, told=told, told_at=self.clock()))

    def ask(self) -> None:
        """Ask it to end: it tells its peers."""
        self.asked_at = self.clock()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Make it end."""
        self.killed = self.killed or self._process is not None
        self._signal(signal.SIGKILL)

    async def gone(self) -> None:
        """Leave none behind, whatever happened."""
        if self._watch is not None:
            self.kill()
            await self._watch

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.signal(number)

    async def _until_end(self, process: Process) -> None:
        exit_ = await process.wait()
        self._process = self._watch = None
        self._know(self._ended(exit_))

    def _ended(self, exit_: Exit) -> Life:
        life, now = self.life, self.clock()
        failures = 1 if now - life.began >= GOOD_RUN else life.failures + 1
        return attrs.evolve(
            life,
            running=False,
            pid=None,
            ends=(*life.ends, Ended(now, exit_))[-ENDS_KEPT:],
            failures=failures,
            due=now + min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10)),
        )

    def _hear(self, line: str) -> None:
        self.on_line(line)
        for tell in self.on_heard:
            tell()

    def _know(self, life: Life) -> None:
        self.store.put(LIVES, life)
        for tell in self.on_change:
            tell()
