"""Asking nvidia-imex how it is, again and again: readings for the store. Decides nothing."""

import asyncio
from typing import Final, Protocol

from attrs import define, field, frozen

from nvdra.domains.imex_daemon.child import Child
from nvdra.domains.imex_daemon.snapshot import READINGS, SIGHTS, Life, Reading, Sight
from nvdra.domains.imex_daemon.views import NO_ANSWER, READY, DomainView
from nvdra.errors import Refused


class Imex(Protocol):
    """The local instance, asked; each answer has a time limit."""

    async def state(self) -> str:
        """READY, or the word for what it is instead."""
        ...

    async def domain(self) -> DomainView | None:
        """What it sees of the domain; None: not known."""
        ...


@frozen
class Rhythm:
    """Seconds between questions. At first often: a start is over in a second, and each second is a user's.

    `breath`: from the first line that it prints to the question, as lines come in bursts.
    """

    breath: float = 0.03
    starting: float = 0.15
    starting_for: float = 10.0
    waiting: float = 0.5
    ready: float = 5.0
    view_first: float = 3.0
    view_waiting: float = 5.0
    view_ready: float = 4.0
    """A peer that is lost is named within ten seconds; asking costs what the question for the state costs."""


RHYTHM: Final = Rhythm()


@define(eq=False)
class Probe:
    """Two rounds side by side, because the question for the domain may hang for its whole time limit."""

    imex: Imex
    child: Child
    rhythm: Rhythm = RHYTHM
    _reading: Reading | None = field(default=None, init=False)

    async def run(self) -> None:
        """For ever; ends when cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_state())
            group.create_task(self._follow_view())

    async def _follow_state(self) -> None:
        changed = self._listen()
        self.child.on_heard.append(changed.set)
        while True:
            life = self.child.life
            if life.running:
                self._read(life, *await self._state())
            await _pause(changed, self._until_next(life) if life.running else None)
            await asyncio.sleep(self.rhythm.breath)
            changed.clear()

    async def _follow_view(self) -> None:
        changed = self._listen()
        while True:
            life = self.child.life
            early = life.began + self.rhythm.view_first - self.child.clock()
            if not life.running or early > 0:
                await _pause(changed, early if life.running else None)
                continue
            self.child.store.put(SIGHTS, Sight(life.number, await self._view()))
            await _pause(changed, self.rhythm.view_ready if self._is_ready(life) else self.rhythm.view_waiting)

    def _listen(self) -> asyncio.Event:
        changed = asyncio.Event()
        self.child.on_change.append(changed.set)
        return changed

    def _until_next(self, life: Life) -> float:
        if self._is_ready(life):
            return self.rhythm.ready
        young = self.child.clock() - life.began < self.rhythm.starting_for
        return self.rhythm.starting if young else self.rhythm.waiting

    def _is_ready(self, life: Life) -> bool:
        reading = self._reading
        return reading is not None and reading.number == life.number and reading.state == READY

    async def _state(self) -> tuple[str, str]:
        try:
            return await self.imex.state(), ""
        except Refused as refused:
            return NO_ANSWER, str(refused)

    async def _view(self) -> DomainView | None:
        try:
            return await self.imex.domain()
        except Refused:
            return None  # the state's reading says why

    def _read(self, life: Life, state: str, trouble: str) -> None:
        now, before = self.child.clock(), self._reading
        ready_at = before.ready_at if before is not None and before.number == life.number else None
        self._reading = Reading(life.number, state, now if state == READY else ready_at, trouble)
        self.child.store.put(READINGS, self._reading)


async def _pause(changed: asyncio.Event, seconds: float | None) -> None:
    """Until something changes, at most so long."""
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        return
    changed.clear()
