"""Sieve's question, place by place: what one crash, one look into the past, one missed event does to a whole life.

A scenario is run without a fault, and each step of the driver noted. Then it is run again for each step and each of the
three perturbations, with that one alone, and its middle and its end are compared with the undisturbed run's.
"""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

from nvdra.api import names
from nvdra.api.kinds import CLAIM_TEMPLATES, COMPUTE_DOMAINS, DAEMON_SETS, NETWORK_POLICIES, PODS, ROSTERS
from nvdra.sim.kube.shapes import dig, name, namespace, phase
from nvdra.sim.storm.clockwork import clock, run
from nvdra.sim.storm.ear import heard
from nvdra.sim.storm.fate import Fate, Place
from nvdra.sim.storm.life import PERTURBATIONS
from nvdra.sim.storm.node import CDI, DOMAINS, RECORDS
from nvdra.sim.storm.observer import records_of
from nvdra.sim.storm.peace import Peace
from nvdra.sim.storm.users import Users
from nvdra.sim.storm.world import Shape, World

Script = Sequence[tuple[float, str]]
MIDDLE: Final = 240.0
END: Final = 300.0
UNCOUNTED: Final = ("leases", "events", "resourceslices")


@frozen
class Scenario:
    """`first` leads to the middle, where it must look as without a fault; `then` to the end, where nothing is left."""

    shape: Shape
    first: Script
    then: Script


def _ends(*called: str) -> Script:
    return [*((0.0, f"unworker {c} {n}") for c in called for n in ("n0", "n1", "n2", "n3")), (2.0, "undomain alpha")]


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "one-node": Scenario(Shape((1,), 1), [(0, "team alpha 1")], _ends("alpha")),
    "two-nodes": Scenario(Shape((1, 1), 1), [(0, "team alpha 2")], _ends("alpha")),
    "two-cliques": Scenario(Shape((1, 1, 2, 2), 1), [(0, "team alpha 4")], _ends("alpha")),
    "job": Scenario(
        Shape((1, 1), 1),
        [(0, "domain alpha 2"), (0.5, "worker alpha n0 6"), (0.5, "worker alpha n1 6")],
        _ends("alpha"),
    ),
    "deletion": Scenario(
        Shape((1, 1), 1), [(0, "team alpha 2")], [(0.0, "undomain alpha"), (1.5, "unworker alpha n0"), *_ends("alpha")]
    ),
}


@frozen
class Sieved:
    """What came of one scenario."""

    scenario: str
    places: int
    runs: int
    wrong: tuple[str, ...]
    more: Counter[str]
    """Objects that disturbed runs created more often than the undisturbed one, by kind."""

    @property
    def summary(self) -> str:
        """In one line."""
        text = f"{self.scenario}: {self.places} places, {self.runs} disturbed runs, {len(self.wrong)} ended otherwise"
        again = ", ".join(f"{plural} in {count}" for plural, count in sorted(self.more.items()))
        return f"{text}; created again: {again or 'nothing'}"


@define(eq=False)
class Trial:
    """One run of a scenario, disturbed at one place or not at all. `expected`: the middle that it must reach."""

    scenario: Scenario
    disturbed: tuple[Place, str] | None = None
    expected: Any = None
    places: list[Place] = field(factory=list)
    middle: Any = field(default=None, init=False)
    wrong: str = field(default="", init=False)
    created: Counter[str] = field(factory=Counter, init=False)

    def play(self) -> "Trial":
        """Run it."""
        gc.disable()
        try:
            run(self._life())
        finally:
            gc.enable()
        return self

    async def _life(self) -> None:
        places = self.places if self.disturbed is None else None
        fate = Fate(7, script=(), calm=True, disturbed=self.disturbed, places=places)
        world = World(fate, self.scenario.shape)
        with heard(world):
            try:
                await world.start()
                fate.calm = False
                await self._told(world)
            finally:
                await world.stop()
        lines = [line.text for line in world.trace.lines if line.kind == "write" and line.who != "user"]
        self.created = Counter(text.split()[1] for text in lines if text.startswith("creates "))
        self.wrong = world.faults[0] if world.faults else self.wrong

    async def _told(self, world: World) -> None:
        peace = Peace(world)
        await self._script(world, self.scenario.first)
        await asyncio.sleep(12.0)
        arrived = lambda: not peace.unsettled() and self.expected in (None, look(world))  # noqa: E731 - one line
        if not await world.until(arrived, MIDDLE):
            self.wrong = "; ".join(peace.unsettled()) or differs(self.expected, look(world))
            return
        self.middle = look(world)
        await self._script(world, self.scenario.then)
        if not await world.until(lambda: not peace.left(), END):
            self.wrong = f"left at the end: {'; '.join(peace.left()[:3])}"

    async def _script(self, world: World, script: Script) -> None:
        users, began = Users(world), clock()
        for at, line in script:
            await asyncio.sleep(max(0.0, began + at - clock()))
            await users.do(line)


def look(world: World) -> dict[str, Any]:
    """The world as far as it must be the same; generated names are left out."""
    view = world.view
    names_of = {d["metadata"]["uid"]: name(d) for d in view.all(COMPUTE_DOMAINS)}
    return {
        "domains": {name(d): dig(d, "status", "status") for d in view.all(COMPUTE_DOMAINS)},
        "workers": {name(p): phase(p) for p in view.all(PODS) if namespace(p) != names.DRIVER_NAMESPACE},
        "daemons": Counter(phase(p) for p in view.all(PODS) if namespace(p) == names.DRIVER_NAMESPACE),
        "made": {k.plural: len(view.all(k)) for k in (DAEMON_SETS, NETWORK_POLICIES, CLAIM_TEMPLATES, ROSTERS)},
        "labels": {node: names_of.get(labels.get(names.DOMAIN_LABEL, ""), "") for node, labels in view.labels()},
        "indices": sorted(e["index"] for r in view.all(ROSTERS) for e in r.get("daemons") or ()),
        "ready": sorted(e["status"] for r in view.all(ROSTERS) for e in r.get("daemons") or ()),
        "records": {n.name: Counter(r["kind"] for r in records_of(n).values()) for n in world.nodes.values()},
        "files": {n.name: [len(n.disk.below(f)) for f in (CDI, RECORDS, DOMAINS)] for n in world.nodes.values()},
        "devices": {n.name: sorted(n.disk.devices) for n in world.nodes.values()},
        "imex": {n.name: n.session is not None for n in world.nodes.values()},
    }


def differs(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Where they do."""
    return "; ".join(f"{key}: {found[key]}, not {expected[key]}" for key in expected if expected[key] != found[key])


def sieve(called: str, every: int = 1, say: Callable[[str], None] = lambda _: None) -> Sieved:
    """Disturb each place of a scenario once in each way (or each `every`th place)."""
    scenario = SCENARIOS[called]
    calm = Trial(scenario).play()
    if calm.wrong:
        return Sieved(called, len(calm.places), 1, (f"undisturbed: {calm.wrong}",), Counter())
    wrong, more, runs = [], Counter[str](), 0
    for number, place in enumerate(calm.places[::every]):
        for way in PERTURBATIONS:
            trial = Trial(scenario, (place, way), calm.middle).play()
            runs += 1
            if trial.wrong:
                wrong.append(f"{way} at {place[0]} (nr {place[1]}): {trial.wrong}")
                say(wrong[-1])
            again = trial.created - calm.created
            more.update(plural for plural in again if plural not in UNCOUNTED)
        if number % 20 == 0:
            say(f"{called}: {number * every} of {len(calm.places)} places")
    return Sieved(called, len(calm.places), runs, tuple(wrong), more)
