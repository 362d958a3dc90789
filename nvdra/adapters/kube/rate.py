"""A token bucket: how many requests a client allows itself. It waits, it never refuses."""

import asyncio
import time
from collections.abc import Callable

from attrs import define, field


@define
class Bucket:
    """`burst` at once, then `qps` a second. Waiting callers are served in the order they came."""

    qps: float
    burst: int
    _clock: Callable[[], float] = field(default=time.monotonic, alias="clock")
    _tokens: float = field(init=False)
    _at: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin full."""
        self._tokens = float(self.burst)
        self._at = self._clock()

    async def take(self) -> None:
        """Take one token, going into debt if there is none, and wait until the debt is paid."""
        now = self._clock()
        self._tokens = min(float(self.burst), self._tokens + (now - self._at) * self.qps)
        self._at = now
        self._tokens -= 1
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self.qps)
