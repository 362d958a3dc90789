"""The loop: levels act, edges announce, errors decide when to look again, and nothing stops it."""

import asyncio
import itertools
import logging
from collections.abc import Callable

import pytest
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
from nvdra.errors import Again, ConfigError, Forbidden, Later, NotYet, Refused, StatechartError
from tests.virtual_time import Stopwatch, clock, until, virtually

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
        observe or _observe,
        reporter,
        announce=tell,
    )


def _observe(store, of, now):
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


@pytest.fixture
def room():
    return Room()


@virtually
async def test_facts_lead_to_orders_and_a_report(room):
    """A change in the store settles, is acted on and reported, in no time at all."""
    room.starts()
    began, watch = clock(), Stopwatch()
    room.put()
    await until(lambda: room.state() == "Dark")
    assert (room.light.done, room.reporter.told[-1].word) == ([], "")
    assert room.reporter.told[-1].waiting_for == "the switch is off"
    room.put(switched=True)
    await until(lambda: room.state() == "Lit")
    assert (room.light.done, room.heat.done, room.reporter.told[-1].word) == (["desk"], ["desk"], "Bright")
    assert clock() - began < 1
    assert watch.seconds < 5


@virtually
async def test_nothing_is_announced_at_first_sight(room):
    """A restart sees everything for the first time; only what changes afterwards is news, once."""
    room.put(switched=True)
    room.starts()
    await until(lambda: room.state() == "Lit")
    assert room.said == []
    room.put()
    await until(lambda: room.state() == "Dark")
    room.put(switched=True)
    await until(lambda: room.state() == "Lit")
    room.engine.queue.add(key())
    await asyncio.sleep(1)
    assert room.said == [("desk", "LampLit", "Everybody sees.")]


@virtually
async def test_a_state_that_lasts_is_told_once_per_deadline(room):
    """`after` announces when its time has come, once for each stay, with what is waited for."""
    room.starts()
    room.put()
    await asyncio.sleep(9.9)
    assert room.said == []
    await asyncio.sleep(0.2)
    assert room.said == [("desk", "StillDark", "still Dark after 10 s: the switch is off")]
    for _ in range(5):
        room.engine.queue.add(key())
    await asyncio.sleep(100)
    assert room.reasons == ["StillDark", "VeryDark"]
    room.put(switched=True)
    await until(lambda: room.state() == "Lit")
    room.put()
    await asyncio.sleep(11)
    assert room.reasons == ["StillDark", "VeryDark", "LampLit", "StillDark"]


def test_a_deadline_is_not_missed_by_a_rounding_error():
    """1019.1 + 10 - 1019.1 is less than 10 in floating point: the deadline has come all the same, and nobody spins."""
    time = [1019.1]
    room = Room()
    room.engine.clock = lambda: time[0]
    room.put()
    asyncio.run(room.engine.reconcile(key()))
    time[0] += 10
    asyncio.run(room.engine.reconcile(key()))
    assert room.reasons == ["StillDark"]


@virtually
async def test_a_refusal_is_told_once_for_each_text(room):
    """Refused is announced under its reason, again only when its text changes, and tried every 30 s."""
    why = ["the bulb is missing"]

    def refuse(_):
        raise Refused(why[0], reason="NoBulb")

    room.light.act = refuse
    room.starts()
    room.put(switched=True)
    await asyncio.sleep(95)
    assert room.said == [("desk", "NoBulb", "the bulb is missing")]
    assert len(room.heat.done) == 4
    why[0] = "the bulb is broken"
    await asyncio.sleep(60)
    assert room.said[1:] == [("desk", "NoBulb", "the bulb is broken")]
    room.light.act = lambda _: None
    await asyncio.sleep(30)
    assert room.light.done == ["desk"]
    assert room.engine.told(key()).troubles == {}


@virtually
async def test_a_missing_right_is_told_like_a_refusal(room):
    """403 is announced once, so that people hear of it where they look, and is tried again as any error is."""

    def forbid(_):
        raise Forbidden("403 Forbidden: a rule is missing", code=403, reason="Forbidden")

    room.light.act = forbid
    room.starts()
    room.put(switched=True)
    await asyncio.sleep(20)
    assert room.said == [("desk", "Forbidden", "403 Forbidden: a rule is missing")]
    room.light.act = lambda _: None
    await asyncio.sleep(60)
    assert room.light.done == ["desk"]


@virtually
async def test_one_failure_stops_no_other_order(room):
    """The other orders are carried out, and the report is written with the trouble in it."""

    def fail(_):
        raise Again("the fuse is out")

    room.light.act = fail
    room.starts()
    room.put(switched=True)
    await asyncio.sleep(0.1)
    assert room.heat.done == ["desk"]
    assert str(room.reporter.told[-1].troubles["light"]) == "the fuse is out"
    assert room.reporter.told[-1].word == "Bright"


@virtually
async def test_back_off_doubles_up_to_its_limit(room):
    """What fails without saying when to try again is tried after 0.25 s, then twice as long each time, 30 s at most."""
    times: list[float] = []

    def fail(_):
        times.append(clock())
        raise Again("the fuse is out")

    room.light.act = fail
    room.starts()
    room.put(switched=True)
    await asyncio.sleep(200)
    gaps = [round(later - sooner, 6) for sooner, later in itertools.pairwise(times)]
    assert gaps[:9] == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]
    room.light.act = lambda _: None
    await asyncio.sleep(31)
    assert room.light.done
    room.light.act = fail
    del times[:]
    room.engine.queue.add(key())
    await asyncio.sleep(0.3)
    assert len(times) == 2


@virtually
async def test_again_after_is_taken_at_its_word(room):
    """`after` sets the time of the next try, and is no reason to back off."""
    times: list[float] = []

    def fail(_):
        times.append(clock())
        raise Again("half a second", after=0.5)

    room.light.act = fail
    room.starts()
    room.put(switched=True)
    await asyncio.sleep(3.1)
    assert len(times) == 7
    assert room.engine.cells[key()].failures == 0


@virtually
async def test_later_is_no_trouble(room):
    """An order that is held back on purpose comes again at its time and is told to nobody as a failure."""
    calls: list[float] = []

    def hold(_):
        calls.append(clock())
        if len(calls) == 1:
            raise Later("a burst goes on", after=0.4)

    room.light.act = hold
    room.starts()
    room.put(switched=True)
    await asyncio.sleep(1)
    assert len(calls) == 2
    assert calls[1] - calls[0] == pytest.approx(0.4, abs=1e-5)
    assert room.meter.failures == []
    assert [told.troubles for told in room.reporter.told] == [{}, {}]


@virtually
async def test_a_defect_of_a_handler_is_contained(room, caplog):
    """A bug in one handler is logged with its trace and backed off; the others go on, other keys too."""

    def stumble(seen):
        if seen.path == "desk":
            raise ZeroDivisionError("oops")

    room.light.act = stumble
    room.starts(1)
    room.put("desk", switched=True)
    room.put("floor", switched=True)
    await asyncio.sleep(1)
    assert "floor" in room.light.done
    assert "desk" in room.heat.done
    assert room.meter.failures[0] == ("light", "error")
    assert "oops" in caplog.text
    assert len(room.meter.failures) == 3  # at 0, 0.25 and 0.75 s
    room.light.act = lambda _: None
    await asyncio.sleep(2)
    assert "desk" in room.light.done


@pytest.mark.parametrize("where", ["facts", "observe", "announce"])
@virtually
async def test_a_defect_anywhere_is_contained(where, caplog):
    """A bug in a fact, a snapshot or an announcement stops neither the loop nor another key."""
    facts, room = the_facts(), Room()

    @facts.add
    def broken(seen: Lamp) -> bool:
        """It breaks."""
        return 1 // (0 if where == "facts" and seen.path == "desk" else 1) == 0

    def observe(store, of, now):
        if where == "observe" and of.id == "desk":
            raise RuntimeError("dust")
        return _observe(store, of, now)

    def tell(seen, reason, message):
        if where == "announce" and seen.path == "desk":
            raise RuntimeError("hoarse")

    text = LAMP.replace("initial: Dark", "  broken: It breaks.\ninitial: Dark").replace(
        "preempts: gone", "preempts: gone or broken"
    )
    room.engine.domains["lamp"] = a_domain(room.light, room.heat, room.reporter, tell, text, facts, observe)
    room.starts(1)
    room.put("desk")
    await asyncio.sleep(0.1)
    room.put("desk", switched=True)
    room.put("floor", switched=True)
    await until(lambda: "floor" in room.light.done)
    await asyncio.sleep(5)
    assert not room.task.done()
    assert "a defect of ours" in caplog.text


@virtually
async def test_an_unforeseen_error_of_ours_backs_off(room):
    """An error that names no time, of whatever class of ours, is tried with back-off."""

    def fail(_):
        raise ConfigError("no such colour")

    room.light.act = fail
    room.starts()
    room.put(switched=True)
    await asyncio.sleep(1)
    assert room.engine.cells[key()].failures == 3


@virtually
async def test_a_final_state_is_forgotten(room):
    """What has come to its end leaves nothing in memory; what comes again under its key begins anew."""
    room.starts()
    room.put(switched=True)
    await until(lambda: room.state() == "Lit")
    room.put(gone=True)
    await until(lambda: key() not in room.engine.cells)
    assert room.meter.moves == [(None, "Lit"), ("Lit", "Gone"), ("Gone", None)]
    room.put()
    await until(lambda: room.state() == "Dark")
    assert room.said == []


@virtually
async def test_not_yet_orders_nothing(room):
    """Without a snapshot nothing is ordered or reported; the key waits for news, and looks now and then."""
    room.starts()
    room.engine.queue.add(key())
    await asyncio.sleep(12)
    assert (room.reporter.told, room.engine.told(key())) == ([], None)
    assert room.engine.cells[key()].not_yet == "no lamp was seen yet"
    room.put()
    await asyncio.sleep(0.01)
    assert room.state() == "Dark"
    assert room.engine.cells[key()].not_yet == ""


@virtually
async def test_the_last_list_wakes_who_waits_for_it(room):
    """A key that could not be looked at is looked at once the last kind is listed, even if that list is empty."""
    room.starts()

    def observe(store, of, now):
        store.require(LAMPS)
        return Lamp(of.id, switched=True)

    room.engine.domains["lamp"] = a_domain(room.light, room.heat, room.reporter, room.tell, observe=observe)
    room.engine.queue.add(key())
    await asyncio.sleep(0.5)
    assert room.light.done == []
    room.engine.store.synced(LAMPS)
    await asyncio.sleep(0)
    await until(lambda: room.light.done, limit=0.1)


@virtually
async def test_until_gives_the_first_answer(room):
    """Whoever waits for an outcome gets the first that answers, at once if it is there already; None when time is up."""
    room.starts()

    def bright(told):
        return told.word or None

    room.put()
    began = clock()
    assert await room.engine.until(key(), bright, 5) is None
    assert clock() - began == 5
    waiting = asyncio.create_task(room.engine.until(key(), bright, 5))
    await asyncio.sleep(1)
    room.put(switched=True)
    assert await waiting == "Bright"
    assert await room.engine.until(key(), bright, 0) == "Bright"
    assert room.engine._waiters == {}  # no memory of those who waited


@virtually
async def test_until_sees_the_end(room):
    """The last outcome of a key that is forgotten is told to those who wait for it."""
    room.starts()
    room.put(switched=True)
    await until(lambda: room.state() == "Lit")
    waiting = asyncio.create_task(room.engine.until(key(), lambda told: told.leaf.final or None, 5))
    await asyncio.sleep(0.1)
    room.put(gone=True)
    assert await waiting is True


@virtually
async def test_a_key_is_never_worked_by_two(room):
    """However many workers and events: one look at a key at a time, other keys beside it."""
    busy: dict[str, int] = {}
    most: list[tuple[int, int]] = []

    class Slow(Thing):
        async def present(self, seen):
            busy[seen.path] = busy.get(seen.path, 0) + 1
            most.append((busy[seen.path], sum(busy.values())))
            await asyncio.sleep(0.1)
            busy[seen.path] -= 1

    room.engine.domains["lamp"] = a_domain(Slow(), room.heat, room.reporter, room.tell)
    room.starts(4)
    for name in ("desk", "floor", "wall"):
        room.put(name, switched=True)
    for _ in range(30):
        await asyncio.sleep(0.03)
        for name in ("desk", "floor", "wall"):
            room.engine.queue.add(key(name))
    assert max(same for same, _ in most) == 1
    assert max(all_ for _, all_ in most) == 3


@virtually
async def test_an_undisturbed_key_is_looked_at_again(room):
    """Every ten minutes, for whatever sends no event."""
    room.starts()
    room.put(switched=True)
    await asyncio.sleep(1801)
    assert len(room.light.done) == 4


@virtually
async def test_what_is_said_already_is_not_said_again(room, caplog):
    """The log has one line for a trouble, however often it is met, and one for each step with its reason."""
    caplog.set_level(logging.INFO, "nvdra.engine")

    def fail(_):
        raise Again("the fuse is out", after=1)

    room.light.act = fail
    room.starts()
    room.put()
    await until(lambda: room.state() == "Dark")
    room.put(switched=True)
    await asyncio.sleep(10)
    lines = [record.getMessage() for record in caplog.records if record.name == "nvdra.engine"]
    assert len([line for line in lines if "the fuse is out" in line]) == 1
    assert any("Dark → Lit (switched)" in line for line in lines)


def test_statechart_and_python_are_bound_by_law():
    """A fact that only one side knows, or that means another thing there, is refused before anything runs."""
    facts = the_facts()

    @facts.add
    def loud(seen: Lamp) -> bool:
        """It hums."""
        return False

    with pytest.raises(StatechartError) as caught:
        a_domain(Thing(), Thing(), Reporter(), None, LAMP.replace("Its switch is on.", "It is on."), facts)
    assert str(caught.value).splitlines() == [
        "lamp: cannot be bound to its domain",
        "closed: fact 'loud' is told but not declared",
        "closed: fact 'switched' means 'Its switch is on.' in Python and 'It is on.' in YAML",
    ]
