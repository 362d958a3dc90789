"""What both closed loops share: a loop in virtual time, faults in order of arrival, and coroutines seen from outside."""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.builders import Little
from tests.virtual_time import VirtualLoop

fates = st.lists(st.sampled_from(["", "before", "after"]), min_size=1, max_size=6)


def now(coroutine: Any) -> Any:
    """The answer of the little cluster, which never waits, at this very moment: for checks inside of writes."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("the little cluster waited")


class World(RuleBasedStateMachine):
    """One example is one life of a small world. `broken` collects what must never be."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.broken: list[str] = []
        self.coming: list[str] = []
        self.refused: set[tuple[str, ...]] = set()
        self.little = self.run(Little.started())
        self.run(self.begin())

    async def begin(self) -> None:
        """Start what runs."""

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def passes(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def fate(self, *what: str) -> str:
        """The next request or write meets the next fate that was ordered."""
        if what in self.refused:
            return "before"
        if "events" in what:
            return ""
        return self.coming.pop(0) if self.coming else ""

    @rule(seconds=st.sampled_from([0.01, 0.2, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.passes(seconds)

    @rule(order=fates)
    def faults_are_on_their_way(self, order: list[str]) -> None:
        self.coming = order

    def calm(self) -> None:
        """No more faults."""

    def converged(self) -> None:
        """What must be so after a long calm."""

    def teardown(self) -> None:
        try:
            assert self.broken == []
            self.coming, self.refused = [], set()
            self.calm()
            self.converged()
            assert self.broken == []
        finally:
            self._end()

    def _end(self) -> None:
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.run(_gathered(left))
        self.run(self.loop.shutdown_asyncgens())
        self.loop.close()


def tell(world: type[World], story: Callable[[Any], None]) -> None:
    """One life as it is told, with everything checked that is checked in a life by chance."""
    life = world()
    try:
        story(life)
        for invariant in life.invariants:
            invariant.function(life)
    except BaseException:
        life.broken = []
        life._end()
        raise
    life.teardown()


async def _gathered(tasks: Any) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
