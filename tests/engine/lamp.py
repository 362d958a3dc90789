"""A lamp in a room: a statechart, handlers and a reporter that tests can hold against the engine."""

import asyncio
from collections.abc import Callable

from attrs import define, field, frozen

from nvdra import loader
from nvdra.api.kind import Local
from nvdra.core.findings import Facts, Finding
from nvdra.core.machine import Interpreter
from nvdra.core.table import compile_table
from nvdra.engine.domain import Domain
from nvdra.engine.engine import Engine
from nvdra.engine.queue import Key
from nvdra.engine.recorder import Recorder
from nvdra.errors import NotYet
from tests.virtual_time import clock

LAMP = """\
statechart: lamp
about: A lamp.
facts:
  gone: It was thrown away.
  switched: Its switch is on.
initial: Dark
states:
  Dark:
    about: Nobody sees.
    after: { 10s: StillDark, 1m: VeryDark }
    next: [{ when: switched, to: Lit }]
  Lit:
    about: Everybody sees.
    while: switched
    present: [light, heat]
    report: Bright
    announce: LampLit
  Gone:
    preempts: gone
    final: true
"""


@frozen
class Lamp:
    path: str
    switched: bool = False
    gone: bool = False


LAMPS = Local(Lamp, "lamps")


def key(name="desk"):
    return Key("lamp", name)


@define(eq=False)
class Thing:
    """Does what the test wants; `done` is what became of it."""

    act: Callable[[Lamp], None] = lambda _: None
    done: list[str] = field(factory=list)

    async def present(self, seen):
        self.act(seen)
        self.done.append(seen.path)

    async def absent(self, seen):
        raise AssertionError


@define(eq=False)
class Reporter:
    told: list = field(factory=list)

    async def report(self, seen, told):
        self.told.append(told)


@define(eq=False)
class Meter:
    moves: list = field(factory=list)
    failures: list = field(factory=list)

    def entered(self, statechart, source, target, seconds):
        self.moves.append((source, target))

    def failed(self, statechart, thing, kind):
        self.failures.append((thing, kind))


@define(eq=False)
class Room:
    """An engine with one domain; everything that it says is kept."""

    light: Thing = field(factory=Thing)
    heat: Thing = field(factory=Thing)
    reporter: Reporter = field(factory=Reporter)
    meter: Meter = field(factory=Meter)
    said: list = field(factory=list)
    engine: Engine = field(init=False)
    task: asyncio.Task | None = field(default=None, init=False)

    def __attrs_post_init__(self):
        self.engine = Engine(clock, Recorder(self.meter))
        self.engine.store.concern(LAMPS, lambda lamp: [key(lamp.path)])
        self.engine.add(a_domain(self.light, self.heat, self.reporter, self.tell))

    def tell(self, seen, reason, message):
        self.said.append((seen.path, reason, message))

    def put(self, name="desk", **state):
        self.engine.store.put(LAMPS, Lamp(name, **state))

    def starts(self, workers=2):
        self.task = asyncio.create_task(self.engine.run(workers))

    @property
    def reasons(self):
        return [reason for _, reason, _ in self.said]

    def state(self, name="desk"):
        cell = self.engine.cells.get(key(name))
        return cell.state if cell else None


def a_domain(light, heat, reporter, tell, text=LAMP, facts=None, observe=None):
    return Domain(
        "lamp",
        Interpreter(compile_table(loader.parse(text, "lamp.yaml").statechart)),
        facts or the_facts(),
        {"light": light, "heat": heat},
        observe or seen_lamp,
        reporter,
        announce=tell,
    )


def seen_lamp(store, of, now):
    lamp = store.get(LAMPS, of.id)
    if lamp is None:
        raise NotYet("no lamp was seen yet")
    return lamp


def the_facts():
    facts: Facts[Lamp] = Facts()

    @facts.add
    def gone(seen: Lamp) -> bool:
        """It was thrown away."""
        return seen.gone

    @facts.add
    def switched(seen: Lamp) -> Finding:
        """Its switch is on."""
        return Finding(seen.switched, "the switch is off")

    return facts
