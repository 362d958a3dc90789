"""When a call may go out: a server that turned us away is asked by one call at a time, and ever less often.

Each client knows only its own calls, but thousands that do so share what a busy server has to give.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

from attrs import define, field

MAX_WAIT = 10.0
"""Seconds that a call waits for a server that turns us away, at once or in all; then the engine's back-off goes on."""
_STEPS = 6
_DOUBLINGS = 3


@define(eq=False)
class Turns:
    """The manners of one client: all its calls wait for peace, and after it one is the scout of the others."""

    clock: Callable[[], float]
    rng: random.Random
    _crowded: int = field(default=0, init=False)
    """Times that we were turned away of late, less the times that we were let in."""
    _unit: float = field(default=1.0, init=False)
    """Seconds: the server's Retry-After."""
    _until: float = field(default=0.0, init=False)
    _scout: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    @property
    def crowded(self) -> bool:
        """The server has turned us away, and has not let us in as often since."""
        return self._crowded > 0

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Send the call inside, and tell what became of it. At once while all is well."""
        scout = self.crowded and await self._wait()
        try:
            yield
        finally:
            if scout:
                self._scout.release()

    def turned_away(self, retry_after: float) -> float:
        """Seconds until it may be sent again: not before the server said, and not when everybody else comes back."""
        now, self._unit = self.clock(), retry_after
        if now >= self._until:  # calls that went out together are turned away together: that is one time
            self._crowded = min(self._crowded + 1, _STEPS)
        doublings = min(max(self._crowded - 1, 0), _DOUBLINGS)
        wait: float = retry_after * 2**doublings * self.rng.uniform(1.0, 2.0)
        self._until = max(self._until, now + wait)
        return wait

    def let_in(self) -> None:
        """A success, or an error that came of looking at the call. Until it has come often, calls keep a distance."""
        if self.crowded:
            self._crowded -= 1
            self._until = self.clock() + self._unit * self._crowded * self.rng.uniform(0.5, 1.5)

    async def _wait(self) -> bool:
        """True: we are the scout, and give the place back. False: no need for one, or it has taken too long."""
        end, mine = asyncio.get_running_loop().time() + MAX_WAIT, False
        try:
            async with asyncio.timeout_at(end):
                await self._scout.acquire()
                mine = True
                await asyncio.sleep(max(0.0, self._until - self.clock()) if self.crowded else 0.0)
        except TimeoutError:
            return mine
        except BaseException:
            if mine:
                self._scout.release()
            raise
        if self.crowded:
            return True
        self._scout.release()
        return False
