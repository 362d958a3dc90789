"""Processes: started, killed at any moment, started again. What a dead one still does has no effect on anything."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from attrs import define, field

from nvdra.errors import NvdraError
from nvdra.sim.apiserver.store import ObjectStore
from nvdra.sim.storm.clockwork import clock
from nvdra.sim.storm.disk import Grip
from nvdra.sim.storm.fate import Fate, Odds
from nvdra.sim.storm.trace import WHO, Trace

Work = Callable[["Edge"], Coroutine[Any, Any, object]]
LAST_PAUSE = 8.0
BEHIND_FOR, BEHIND_BY, BLIND_FOR = 12.0, 25, 8.0
"""Seconds, versions, seconds."""
PERTURBATIONS = ("intermediate", "stale", "unobserved")


class Ground(Protocol):
    """What every process stands on."""

    fate: Fate
    trace: Trace
    store: ObjectStore
    sight: "Sight"
    writer: str
    """Who is writing to the API at this very moment."""

    def reaches(self, node: str) -> bool:
        """Whether a process on that node ("": on none) reaches the API server now."""
        ...

    def broken(self, text: str) -> None:
        """Something happened that must never happen."""
        ...


@define(eq=False)
class Sight:
    """Whose view of the API is disturbed: who sees an old state only, and who sees nothing, each until when."""

    past: dict[str, tuple[float, int]] = field(factory=dict)
    blind: dict[str, float] = field(factory=dict)

    def go_back(self, name: str, version: int) -> None:
        """For a while its lists are of then, and its watches tell nothing."""
        self.past[name] = (clock() + BEHIND_FOR, max(1, version - BEHIND_BY))

    def shut(self, name: str) -> None:
        """For a while its watches tell nothing; then they have expired."""
        self.blind[name] = clock() + BLIND_FOR

    def version(self, name: str) -> int | None:
        """The version that its lists are of; None: of now."""
        until, version = self.past.get(name, (0.0, 0))
        return version if clock() < until else None

    def waits(self, name: str) -> float:
        """Seconds until its watches tell anything again."""
        return max(0.0, self.past.get(name, (0.0, 0))[0] - clock(), self.blind.get(name, 0.0) - clock())


@define(eq=False)
class Edge(Grip):
    """One start of one process: the only way by which it touches the world."""

    name: str
    ground: Ground
    node: str = ""
    alive: bool = True
    deadly: bool = True
    """Whether it may die at any call."""
    on_death: list[Callable[[], None]] = field(factory=list)

    def fate(self, site: str, odds: Odds) -> str:
        """What goes wrong with this act."""
        if not self.deadly:
            odds = {what: likely for what, likely in odds.items() if not what.startswith("die")}
        what = self.ground.fate.ask(f"{self.name} {site}", odds)
        if not what:
            return ""
        self.ground.trace.note("fault", f"{what}: {site}", self.name)
        return self._disturbed(what, odds) if what in PERTURBATIONS else what

    def _disturbed(self, what: str, odds: Odds) -> str:
        """One of Sieve's three: the process ends in the middle, goes back in time, or does not see for a while."""
        if what == "intermediate" and "die-after" in odds:
            return "die-after"
        if what == "unobserved":
            self.ground.sight.shut(self.name)
            return ""
        if what == "stale":
            self.ground.sight.go_back(self.name, self.ground.store.version)
        asyncio.get_running_loop().call_soon(self.die)
        return ""

    def check(self) -> None:
        """Raises when the process is dead."""
        if not self.alive:
            raise asyncio.CancelledError

    def die(self) -> None:
        """End it: from now on it has no effect."""
        if self.alive:
            self.alive = False
            for tell in self.on_death:
                tell()

    def run(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """A task of this process."""
        context = contextvars.copy_context()
        context.run(WHO.set, self.name)
        return asyncio.get_running_loop().create_task(work, context=context)


@define(eq=False)
class Life:
    """A process and its supervisor. `held`: it is not to be started again for now."""

    name: str
    ground: Ground
    work: Work
    node: str = ""
    deadly: bool = True
    held: bool = False
    edge: Edge | None = field(default=None, init=False)
    starts: int = field(default=0, init=False)
    _task: "asyncio.Task[Any] | None" = field(default=None, init=False)
    _failures: int = field(default=0, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    @property
    def alive(self) -> bool:
        """It runs."""
        return self.edge is not None and self.edge.alive

    def start(self) -> None:
        """Start it, unless it runs or may not."""
        if self.held or self._task is not None:
            return
        self.starts += 1
        self.edge = edge = Edge(self.name, self.ground, self.node, deadly=self.deadly)
        edge.on_death.append(self._killed)
        self.ground.trace.note("node", "starts", self.name)
        self._task = edge.run(self.work(edge))
        self._task.add_done_callback(self._ended)

    def kill(self) -> None:
        """As kill -9 does."""
        if self.edge is not None:
            self.edge.die()

    def stop(self) -> None:
        """SIGTERM, of a process that ends when it is cancelled."""
        if self._task is not None:
            self.ground.trace.note("node", "is told to end", self.name)
            self._task.cancel()

    def hold(self, held: bool) -> None:
        """Keep it down, or let it up again."""
        self.held = held
        if held:
            self.kill()
        else:
            self._failures = 0
            self._later(0.5)

    def _killed(self) -> None:
        self.ground.trace.note("node", "is killed", self.name)
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._task, edge = None, self.edge
        killed = edge is None or not edge.alive
        if edge is not None:
            edge.alive = False
        error = None if task.cancelled() else task.exception()
        if error is not None and not killed:
            self._broke(error)
        self._failures += 1
        if not self.held:
            self._later(min(LAST_PAUSE, 0.25 * 2**self._failures))

    def _broke(self, error: BaseException) -> None:
        if isinstance(error, NvdraError):  # it says why it cannot go on, and is started again
            self.ground.trace.note("node", f"ends: {error}", self.name)
            return
        self.ground.broken(f"{self.name} broke down: {error!r} {getattr(error, 'exceptions', '')}")

    def _later(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.start)

    def well(self) -> None:
        """It has run for a while: its next failure counts as its first."""
        self._failures = 0
