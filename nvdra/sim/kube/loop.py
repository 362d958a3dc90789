"""A queue of keys worked off one at a time, and tried again with back-off when the API says no."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from nvdra.errors import NvdraError

K = TypeVar("K", bound=Hashable)
_log = logging.getLogger(__name__)
FIRST_RETRY = 0.05
LAST_RETRY = 10.0


class Loop(Generic[K]):
    """Keys wait once, are worked by one, and come back later when work on them failed."""

    def __init__(self, name: str, work: Callable[[K], Awaitable[None]]) -> None:
        self._name = name
        self._work = work
        self._waiting: dict[K, None] = {}
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._bell = asyncio.Event()

    def add(self, key: K) -> None:
        """Work on this key soon."""
        self._waiting[key] = None
        self._bell.set()

    def later(self, key: K, seconds: float) -> None:
        """Work on this key in `seconds`, or sooner if it was to come sooner."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        timer = self._later.get(key)
        if timer is not None and timer.when() <= due:
            return
        if timer is not None:
            timer.cancel()
        self._later[key] = loop.call_at(due, self._due, key)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                while not self._waiting:
                    self._bell.clear()
                    await self._bell.wait()
                key = next(iter(self._waiting))
                del self._waiting[key]
                await self._once(key)
        finally:
            for timer in self._later.values():
                timer.cancel()
            self._later.clear()

    async def _once(self, key: K) -> None:
        try:
            await self._work(key)
        except NvdraError as error:
            self._failed(key, str(error))
        except Exception as error:  # noqa: BLE001 - the edge of an agent: one bad object must not stop the rack
            _log.exception("%s: %s", self._name, key)
            self._failed(key, str(error))
        else:
            self._failures.pop(key, None)
            await asyncio.sleep(0)

    def _failed(self, key: K, why: str) -> None:
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        _log.debug("%s: %s: %s", self._name, key, why)
        self.later(key, min(FIRST_RETRY * 2**count, LAST_RETRY))

    def _due(self, key: K) -> None:
        self._later.pop(key, None)
        self.add(key)
