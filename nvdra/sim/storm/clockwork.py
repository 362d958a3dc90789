"""An event loop whose time jumps to the next timer when everybody waits: an hour costs nothing, and order is exact."""

import asyncio
import math
import selectors
from collections.abc import Coroutine, Iterable
from typing import Any

START = 1000.0
TICKS = 2**20
"""Moments a second that virtual time knows: a power of two, so that each of them is a float."""
EPOCH = 1_764_000_000.0
"""Seconds since 1970 when virtual time is 0."""


class StandstillError(RuntimeError):
    """Everybody waits, and no timer will ever wake anybody."""


class SpinError(AssertionError):
    """Somebody works and works, and time does not pass."""


MOST_TURNS = 10_000
"""So many turns of the loop at one moment are a spin."""


class _Jumping(selectors.DefaultSelector):
    """Never sleeps: what would be slept is added to the loop's time."""

    loop: "VirtualLoop"
    turns = 0

    def select(self, timeout: float | None = None) -> Any:
        """What is ready; when nothing is, time jumps."""
        ready = super().select(0)
        self.turns += 1
        if self.turns > MOST_TURNS:
            self.turns = 0  # so that the loop can be ended
            raise SpinError(f"no time has passed in {MOST_TURNS} turns of the loop")
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise StandstillError("everybody waits for ever")
        self.turns = 0
        self.loop.jump()
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` stands still while anybody works."""

    def __init__(self) -> None:
        self.now = START
        selector = _Jumping()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Now, on the grid."""
        return self.now

    def call_at(  # type: ignore[override]  # handed on as it comes
        self, when: float, *args: Any, **named: Any
    ) -> asyncio.TimerHandle:
        """On a grid of microseconds, upwards: asyncio fires what is due within a nanosecond, and then time stands."""
        return super().call_at(math.ceil(when * TICKS) / TICKS, *args, **named)

    def jump(self) -> None:
        """To the next timer, exactly: adding up differences would miss it by a rounding error, for ever."""
        self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]  # no public way to ask


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in virtual time, and end what it left running."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(_ended(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def clock() -> float:
    """The running loop's time."""
    return asyncio.get_running_loop().time()


def wall() -> float:
    """Seconds since 1970 that go with the running loop's time."""
    return EPOCH + clock()
