"""The virtual loop for tests: what they need of it, and a way to make an async test run in it."""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any

from nvdra.sim.storm.clockwork import (
    EPOCH,
    MOST_TURNS,
    START,
    TICKS,
    SpinError,
    StandstillError,
    VirtualLoop,
    clock,
    run,
    wall,
)

__all__ = [
    "EPOCH",
    "MOST_TURNS",
    "START",
    "TICKS",
    "SpinError",
    "StandstillError",
    "Stopwatch",
    "VirtualLoop",
    "clock",
    "run",
    "until",
    "virtually",
    "wall",
]


def virtually(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make an async test a plain one that runs in virtual time."""

    @functools.wraps(test)
    def plain(*args: Any, **named: Any) -> None:
        run(test(*args, **named))

    return plain


async def until(holds: Callable[[], object], limit: float = 20.0, step: float = 0.02) -> None:
    """Wait until something is so; AssertionError when it is not so in time."""
    end = clock() + limit
    while not holds():
        assert clock() < end, f"not so within {limit} s of virtual time"
        await asyncio.sleep(step)


class Stopwatch:
    """Real seconds, to show that virtual ones cost nothing."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began
