"""Each law has a statechart that breaks exactly that one, and the fault is found where it stands."""

import pytest

from nvdra import loader
from nvdra.core.laws import Fault, check, closed, worlds
from nvdra.core.table import compile_table

GOOD = """\
statechart: lamp
about: A lamp with a switch.
facts:
  switched: The switch is on.
  powered: There is power.
initial: Dark
states:
  Dark:
    absent: [light]
    next:
      - when: switched and powered
        to: Lit
  Lit:
    while: switched and powered
    present: [light]
"""

BREAKS = {
    "recomputable": (
        """\
  Lit:
    while: switched
    present: [light]
""",
        ["recomputable: with [switched], Lit settles in Lit but Dark in Dark @ 13"],
    ),
    "reachable": (
        """\
  Lit:
    while: switched and powered
    present: [light]
  Limbo:
    while: switched and not switched
""",
        ["reachable: no set of facts makes Limbo the home @ 16"],
    ),
    "alive": (
        """\
  Lit:
    while: switched and powered
    present: [light]
    next:
      - when: not powered
        to: Dark
""",
        ["alive: Lit never goes to Dark: 'not powered' is never the first to hold @ 17"],
    ),
    "coherent": (
        """\
  Lit:
    while: switched and powered
    present: [light]
    absent: [light]
""",
        ["coherent: Lit keeps light both present and absent @ 13"],
    ),
}


def loaded(text):
    return loader.parse(text, "lamp.yaml")


def faults(text):
    found = loaded(text)
    return [found.said(fault) for fault in check(compile_table(found.statechart))]


def expected(line):
    sentence, _, number = line.rpartition(" @ ")
    return f"lamp.yaml:{number}: {sentence}"


def test_a_good_statechart_has_no_fault():
    """The sample keeps all laws."""
    assert faults(GOOD) == []


@pytest.mark.parametrize("law", sorted(BREAKS))
def test_each_law_bites(law):
    """A change that breaks one law is told in one line with file, line, law and sentence."""
    lit, lines = BREAKS[law]
    assert faults(GOOD.partition("  Lit:\n")[0] + lit) == [expected(line) for line in lines]


def test_circles_are_told_with_their_trail():
    """settles: what circles is named from each state that gets into it, with the shortest set of facts."""
    text = GOOD.replace("initial: Dark", "  glaring: It hurts.\ninitial: Dark")
    found = faults(text + "    next:\n      - when: glaring\n        to: Dark\n")
    assert found == [
        "lamp.yaml:9: settles: with [glaring, powered, switched], Dark circles: Dark → Lit → Dark",
        "lamp.yaml:14: settles: with [glaring, powered, switched], Lit circles: Lit → Dark → Lit",
    ]


def test_a_fact_that_nobody_uses_is_told():
    """closed: a declared fact has a use."""
    text = GOOD.replace("initial: Dark", "  lonely: Nobody asks.\ninitial: Dark")
    assert faults(text) == ["lamp.yaml:6: closed: fact 'lonely' is declared and never used"]


def test_a_fact_that_nobody_declared_is_told_first():
    """closed: the laws that try all sets of facts wait until all facts are declared (a loaded file cannot get here)."""
    chart = loaded(GOOD).statechart
    bare = compile_table(type(chart)(chart.name, chart.about, {"powered": "."}, chart.initial, chart.states))
    assert [(fault.law, fault.sentence, fault.at) for fault in check(bare)] == [
        ("closed", "undeclared fact 'switched' in 'switched and powered'", ("states", "Dark", "next", 0)),
        ("closed", "undeclared fact 'switched' in 'not (switched and powered)'", ("states", "Lit", "while")),
    ]


def test_statechart_and_domain_speak_of_the_same():
    """closed, the outer half: facts without a function, functions without a fact, things without a handler or an order."""
    table = compile_table(loaded(GOOD).statechart)
    assert closed(table, ["switched", "powered"], ["light"]) == []
    found = check(table, ["powered", "noisy"], ["heat"])
    assert found == [
        Fault("closed", "fact 'switched' is declared but no function tells it", ("facts", "switched")),
        Fault("closed", "fact 'noisy' is told but not declared"),
        Fault("closed", "thing 'light' has no handler"),
        Fault("closed", "thing 'heat' has a handler but is never ordered"),
    ]
    assert closed(table, ["switched", "powered"], []) == [Fault("closed", "thing 'light' has no handler")]


def test_all_worlds_smallest_first():
    """Every set of facts is tried, so that the first counterexample is the shortest."""
    assert list(worlds(["b", "a"])) == [frozenset(), frozenset("a"), frozenset("b"), frozenset("ab")]
    assert len(list(worlds("abcdefgh"))) == 256
