"""Ends a process of the driver with kill -9 at given steps of its statecharts, each once. For tests.

The file that NVDRA_SIM_KILL_AT names has one place a line: `life leaf point`. The point is `entered` (the leaf is
known, nothing of it was done) or a thing (its order was just carried out, the next was not). A hit takes its line out.
"""

import os
import signal
from pathlib import Path

from attrs import frozen

from nvdra.core.machine import Step
from nvdra.core.table import Table
from nvdra.engine.queue import Key
from nvdra.engine.recorder import Recorder

VARIABLE = "NVDRA_SIM_KILL_AT"
ENTERED = "entered"
KILLED = 128 + signal.SIGKILL
"""The exit code by which a container runtime tells a process that was killed."""


@frozen
class Place:
    """One moment in one life."""

    life: str
    leaf: str
    point: str

    def __str__(self) -> str:
        return f"{self.life} {self.leaf} {self.point}"


def places_of(life: str, table: Table) -> list[Place]:
    """Every place of one statechart."""
    return [
        Place(life, leaf.name, point)
        for leaf in table.leaves.values()
        for point in (ENTERED, *(order.thing for order in leaf.orders))
    ]


@frozen
class Places:
    """The places that are still to be hit, in a file that all processes of a rack share."""

    path: Path

    def write(self, places: list[Place]) -> None:
        """Those and no others."""
        self.path.write_text("".join(f"{place}\n" for place in places))

    def left(self) -> list[str]:
        """Those that were not hit."""
        return self.path.read_text().splitlines() if self.path.exists() else []

    def take(self, place: Place) -> bool:
        """Whether it is to be hit, now and by us alone: the line is gone afterwards."""
        if str(place) not in self.left():
            return False
        with self.path.with_suffix(".lock").open("w") as lock:
            os.lockf(lock.fileno(), os.F_LOCK, 0)
            left = self.left()
            if str(place) not in left:
                return False
            left.remove(str(place))
            aside = self.path.with_suffix(".new")
            aside.write_text("".join(f"{line}\n" for line in left))
            aside.rename(self.path)
        return True


def _end() -> None:
    """As kill -9 does it. A container's first process cannot be killed from inside: it goes as suddenly by itself."""
    os.kill(os.getpid(), signal.SIGKILL)
    os._exit(KILLED)


def arm(path: Path) -> None:
    """Make this process end at the places of that file."""
    places, told = Places(path), Recorder.stepped

    def at(key: Key, leaf: str, point: str) -> None:
        if places.take(Place(key.kind, leaf, point)):
            _end()

    def stepped(self: Recorder, key: Key, source: str | None, step: Step, seconds: float, title: str = "") -> None:
        told(self, key, source, step, seconds, title)
        at(key, step.leaf.name, ENTERED)

    def acted(self: Recorder, key: Key, state: str, thing: str) -> None:
        at(key, state, thing)

    Recorder.stepped = stepped  # type: ignore[method-assign]  # the engine itself knows nothing of this
    Recorder.acted = acted  # type: ignore[method-assign]  # as above
