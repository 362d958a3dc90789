"""The loop: levels act, edges announce, and a key is looked at when it has to be."""

import asyncio

import pytest

from nvdra.errors import StatechartError
from tests.engine.lamp import LAMP, Lamp, Reporter, Room, Thing, a_domain, key, the_facts
from tests.virtual_time import Stopwatch, clock, until, virtually


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
