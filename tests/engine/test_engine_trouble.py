"""Errors decide when to look again, are told once, and stop nothing."""

import asyncio
import itertools
import logging

import pytest

from nvdra.errors import Again, ConfigError, Forbidden, Later, Refused
from tests.engine.lamp import LAMP, Lamp, Room, a_domain, key, seen_lamp, the_facts
from tests.virtual_time import clock, until, virtually


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
        return seen_lamp(store, of, now)

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
