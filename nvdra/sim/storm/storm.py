"""One storm: a world of one seed, faults until so many steps are done, then calm, and a look at what became of it."""

import asyncio
import gc
import math
import time
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from nvdra.sim.storm.clockwork import clock, run
from nvdra.sim.storm.ear import heard
from nvdra.sim.storm.fate import Fate, Fault, Odds
from nvdra.sim.storm.moves import DOMAINS, Moves
from nvdra.sim.storm.peace import Peace
from nvdra.sim.storm.trace import Trace
from nvdra.sim.storm.world import Shape, World

SETTLES_IN: Final = 400.0
ENDS_IN: Final = 600.0
QUIET: Final = 150.0
RETRIES: Final = 95.0
FORGETS_IN: Final = 700.0
"""A cell whose last news was lost is looked at again with its resync, after ten minutes."""
STRAGGLERS: Final = 25.0
"""So long a request may have been under way."""
LONGEST: Final = 3600.0
"""Virtual seconds of storm, whatever happens."""
SHAPES: Final = (
    Shape((1, 1)),
    Shape((1, 1, 1)),
    Shape((1, 1, 2)),
    Shape((1, 2, 0)),
    Shape((1,)),
    Shape((1, 1, 1, 2, 0)),
)


KINDS: Final = [
    "lost",
    "unanswered",
    "slow",
    "busy",
    "ghost",
    "die-before",
    "die-after",
    "lag",
    "twice",
    "broken",
    "expired",
    "stale",
    "disk-before",
    "disk-after",
]
ACTS: Final = [
    "kill",
    "term",
    "power-off",
    "cut",
    "vanish",
    "train",
    "api-restart",
    "api-forget",
    "api-away",
    "strip",
    "stranger",
    "foreign",
    "force-pod",
    "tear-off",
    "smash",
    "imex-crash",
    "imex-stuck",
    "kill-daemon",
]


@frozen
class Plan:
    """What to run. `script`: the faults of an earlier run, and `until`, when its storm ended."""

    seed: int
    steps: int = 1000
    script: tuple[Fault, ...] | None = None
    until: float | None = None
    shape: Shape | None = None


@frozen
class Outcome:
    """What became of it. `broken`: the first sentence that must never be said; "" for a good end."""

    plan: Plan
    shape: Shape
    broken: str
    steps: int
    until: float
    told: tuple[Fault, ...]
    trace: Trace
    seconds: float

    @property
    def fingerprint(self) -> str:
        """Of all that happened."""
        return self.trace.fingerprint


def play(plan: Plan) -> Outcome:
    """Run it, on virtual time."""
    began = time.perf_counter()
    gc.collect()
    gc.disable()  # what is collected when would be up to the machine, and finalizers run then
    try:
        storm = Storm(plan)
        run(storm.life())
    finally:
        gc.enable()
    world = storm.world
    return Outcome(
        plan,
        world.shape,
        world.faults[0] if world.faults else "",
        world.fate.steps,
        storm.until,
        tuple(world.fate.told),
        world.trace,
        time.perf_counter() - began,
    )


def weather_of(seed: int) -> Odds:
    """Each seed favours some faults and leaves others out: a storm of everything at once hides what two of it do."""
    fate = Fate(seed)
    weights = ("0", "0", "1", "1", "3", "8")
    found = {kind: float(fate.pick(weights, "weather", kind)) for kind in KINDS}
    found |= {act: min(2.0, float(fate.pick(weights, "weather", act))) for act in ACTS}
    return found | {"pace": float(fate.pick(("0.3", "1", "2"), "weather", "pace"))}


@define(eq=False)
class Storm:
    """One run."""

    plan: Plan
    world: World = field(init=False)
    moves: Moves = field(init=False)
    until: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        plan = self.plan
        fate = Fate(plan.seed, weather_of(plan.seed), plan.script)
        shape = plan.shape or SHAPES[int(fate.chance("shape") * len(SHAPES))]
        self.world = World(fate, shape)
        self.moves = Moves(self.world)

    async def life(self) -> None:
        """From the first node to the last line."""
        world = self.world
        with heard(world):
            try:
                world.fate.calm = True
                await world.start()
                world.fate.calm = False
                await (self._again() if self.plan.script is not None else self._blow())
                self.until = clock()
                world.fate.calm = True
                if not world.faults:
                    await self._calm()
            finally:
                await world.stop()

    async def _blow(self) -> None:
        world, end = self.world, clock() + LONGEST
        while world.fate.steps < self.plan.steps and not world.faults and clock() < end:
            line = self.moves.draw()
            if line:
                world.fate.moved(line)
                await self.moves.do(line)
            await self._sleep(self.moves.pause())

    async def _again(self) -> None:
        """The moves of a script at their times."""
        for move in self.world.fate.moves():
            await self._reach(move.at)
            if self.world.faults:
                return
            self.world.fate.moved(move.what)
            await self.moves.do(move.what)
        if self.plan.until is not None:
            await self._reach(self.plan.until)

    async def _sleep(self, seconds: float) -> None:
        """Shortened when something is broken already."""
        await self._reach(clock() + seconds)

    async def _reach(self, when: float) -> None:
        """Until exactly that moment: a sleep of the difference would miss it by a rounding error."""
        loop = asyncio.get_running_loop()
        while clock() < when and not self.world.faults:
            turn = loop.create_future()
            loop.call_at(min(when, math.floor(clock()) + 1.0), turn.set_result, None)
            await turn

    async def _calm(self) -> None:
        world, peace = self.world, Peace(self.world)
        await self.moves.heal()
        await self._sleep(STRAGGLERS)
        await self._becomes(peace.unsettled, SETTLES_IN, "the storm is over, and after")
        await self._sleep(RETRIES)  # who waits for a kubelet's next try has had it then
        await self._becomes(peace.unsettled, SETTLES_IN, "the storm is long over, and after")
        await self._quiet(QUIET / 3)
        for called in DOMAINS:
            for node in world.nodes:
                await self.moves.users.do(f"unworker {called} {node}")
            await self.moves.users.do(f"undomain {called}")
        await self._becomes(peace.left, ENDS_IN, "everything was deleted, and after")
        await self._quiet(QUIET)
        await self._becomes(peace.remembered, FORGETS_IN, "nothing is left, and after")

    async def _becomes(self, left: Callable[[], list[str]], limit: float, when: str) -> None:
        """Until nothing is left of what hinders."""
        if not await self.world.until(lambda: not left(), limit) and not self.world.faults:
            self.world.broken(f"{when} {limit:.0f} s: {'; '.join(left()[:4])}")

    async def _quiet(self, seconds: float) -> None:
        """Nobody of ours writes when nothing changes."""
        await self._sleep(STRAGGLERS)
        before = len(self.world.trace.lines)
        await self._sleep(seconds)
        lines = self.world.trace.lines[before:]
        ours = [
            line for line in lines if line.kind == "write" and line.who.startswith(("controller", "plugin", "imexd"))
        ]
        if ours:
            self.world.broken(f"nothing changes, and {ours[0].who} {ours[0].text} ({len(ours)} times in all)")
