"""A statechart with one of everything, and nvdra's own."""

import pytest

from nvdra import loader
from nvdra.core.statechart import Statechart

FERRY = """\
statechart: ferry
about: The life of a crossing.
facts:
  loaded:   The cars are on board.
  across:   The far shore is reached.
  stormy:   The wind is too strong.
  anchored: The anchor holds.
  sunk:     The ferry is gone (lost|sunk).
initial: Waiting
states:
  Waiting:
    about: Cars come on board.
    present: [ramp]
    absent: [horn, flag]
    report: Boarding
    next:
      - when: loaded
        to: Crossing
  Crossing:
    while: loaded
    present: [flag]
    report: Sailing
    initial: Leaving
    states:
      Leaving:
        after: { 90s: LateStart, 5m: SlowStart, 2h: Stuck }
        next:
          - when: across
            to: Arriving
      Arriving:
        about: The far shore is reached.
        while: across
        announce: Arrived
        next:
          - when: anchored
            to: Moored
  Moored:
    while: anchored and loaded and across
    final: true
  Sheltering:
    preempts: stormy
    while: not sunk
    initial: Turning
    states:
      Turning:
        next:
          - when: anchored
            to: Sheltering.Lying
      Lying:
        while: anchored
  Lost:
    about: Nothing is left.
    preempts: sunk
    states:
      Down:
    initial: Down
"""


@pytest.fixture
def ferry() -> Statechart:
    return loader.parse(FERRY, "<ferry>").statechart


def a_chart(states: str, facts: str = "ready: It is ready.") -> Statechart:
    """A statechart with these states; it begins in One."""
    return loader.parse(
        f"statechart: small\nfacts: {{ {facts} }}\ninitial: One\nstates:\n{states}", "<small>"
    ).statechart


@pytest.fixture
def small() -> Statechart:
    return a_chart("  One:\n    next: [{ when: ready, to: Two }]\n  Two:\n    while: ready\n")


@pytest.fixture
def blocked() -> Statechart:
    return a_chart("  One:\n    next: [{ when: not ready, to: Two }]\n  Two:\n    while: not ready\n")
