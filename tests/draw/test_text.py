"""Outlines, sentences and stories: what can be read aloud."""

import pytest

from nvdra.core.machine import Interpreter
from nvdra.core.statechart import Statechart
from nvdra.core.table import compile_table
from nvdra.draw.sentences import duration
from nvdra.draw.step import story, waits
from nvdra.draw.text import outline

OUTLINE = """\
ferry: The life of a crossing.
It begins in Waiting.

  Waiting: Cars come on board.
    Keep ramp present; keep horn, flag absent; report Boarding.
    When loaded, go to Crossing.

  Crossing
    While loaded.
    Keep flag present; report Sailing.
    Begin in Leaving.

    Leaving
      After 90s announce LateStart; after 5m announce SlowStart; after 2h announce Stuck.
      When across, go to Arriving.

→   Arriving: The far shore is reached.
      While across.
      Announce Arrived.
      When anchored, go to Moored.

  Moored
    While anchored and loaded and across.
    Here it ends: forget it.

  Sheltering
    From anywhere as soon as stormy, while not sunk.
    Begin in Turning.

    Turning
      When anchored, go to Sheltering.Lying.

    Lying
      While anchored.

  Lost: Nothing is left.
    From anywhere as soon as sunk.
    Begin in Down.

    Down
"""


def test_an_outline_reads_state_by_state(ferry: Statechart):
    """Every state as a sentence, its orders, its ways out, and a mark where one is."""
    assert outline(ferry, "Arriving") == OUTLINE


def test_an_outline_without_a_place_has_no_mark(ferry: Statechart):
    """Only the mark differs."""
    assert outline(ferry) == OUTLINE.replace("→ ", "  ")


def test_a_statechart_without_a_purpose_is_named(small: Statechart):
    """`about` may be left out."""
    assert (
        outline(small) == "small\nIt begins in One.\n\n  One\n    When ready, go to Two.\n\n  Two\n    While ready.\n"
    )


@pytest.mark.parametrize(
    ("seconds", "said"), [(1, "1s"), (90, "90s"), (60, "1m"), (5400, "90m"), (7200, "2h"), (0, "0s")]
)
def test_durations_read_as_they_were_written(seconds: float, said: str):
    """In the largest unit that needs no fraction."""
    assert duration(seconds) == said


def test_a_story_tells_the_way_and_what_is_waited_for(ferry: Statechart):
    """From the beginning, with the reason of each edge."""
    assert told(ferry, None, {"loaded", "across"}) == (
        "facts:   loaded, across\n"
        "from:    Waiting\n"
        "  → Crossing.Leaving  because loaded (progress)\n"
        "  → Crossing.Arriving  because across (progress)\n"
        "in:      Crossing.Arriving: The far shore is reached.\n"
        "orders:  present flag\n"
        "report:  Sailing\n"
        "waits:   anchored (The anchor holds.)\n"
    )


def test_a_story_may_be_short(ferry: Statechart):
    """Nothing holds, nothing is ordered, nothing is waited for: it says so."""
    assert told(ferry, "Lost.Down", {"sunk"}) == (
        "facts:   sunk\nfrom:    Lost.Down\nin:      Lost.Down\norders:  none\nreport:  nothing\nwaits:   for nothing\n"
    )
    assert "facts:   none holds\n" in told(ferry, None, set())


def test_a_story_may_end(ferry: Statechart):
    """A final state waits for nothing: it is over."""
    assert told(ferry, None, {"loaded", "across", "anchored"}).endswith("ends:    here; the object is forgotten\n")


def test_what_has_to_cease_is_waited_for_too(blocked: Statechart):
    """A fact that stands in the way is named with a `not`."""
    facts = frozenset({"ready"})
    step = Interpreter(compile_table(blocked)).settle(None, facts)

    assert list(waits(blocked, step, facts)) == ["not ready (It is ready.)"]


def told(chart: Statechart, start: str | None, facts: set[str]) -> str:
    table = compile_table(chart)
    held = frozenset(facts)
    return story(chart, start or table.initial, Interpreter(table).settle(start, held), held)
