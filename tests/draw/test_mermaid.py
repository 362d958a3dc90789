"""Diagrams: drawn from the tree, so that what is one thought is one arrow."""

import re

import pytest

from nvdra import loader
from nvdra.apps.statecharts import shipped
from nvdra.core.statechart import Statechart, dotted
from nvdra.core.table import compile_table
from nvdra.draw.mermaid import ANYWHERE, diagram
from nvdra.errors import ConfigError

OWN = sorted(path.stem for path in shipped().glob("*.yaml"))


def arrows(text: str) -> list[tuple[str, str, str]]:
    found = re.findall(r"^ +(\S+) --> (\S+)(?: : (.+))?$", text, re.MULTILINE)
    return [(source, target, why) for source, target, why in found]


def test_every_arrow_of_the_tree_is_drawn_once(ferry: Statechart):
    """Beginnings, ways forward, preemptions and ends; nothing of the flat table."""
    assert sorted(arrows(diagram(ferry))) == sorted(
        [
            ("[*]", "Waiting", ""),
            ("Waiting", "Crossing", "loaded"),
            ("[*]", "Crossing_Leaving", ""),
            ("Crossing_Leaving", "Crossing_Arriving", "across"),
            ("Crossing_Arriving", "Moored", "anchored"),
            ("Moored", "[*]", ""),
            ("[*]", "Sheltering_Turning", ""),
            ("Sheltering_Turning", "Sheltering_Lying", "anchored"),
            (ANYWHERE, "Sheltering", "stormy"),
            ("[*]", "Lost_Down", ""),
            (ANYWHERE, "Lost", "sunk"),
        ]
    )


def test_orders_and_report_are_written_inside(ferry: Statechart):
    """A leaf carries its text, a state with states inside a note."""
    text = diagram(ferry)

    assert (
        "    Waiting : keep ramp present\n    Waiting : keep horn, flag absent\n    Waiting : report Boarding\n" in text
    )
    assert "        Crossing_Leaving : after 90s announce LateStart\n" in text
    assert "        Crossing_Arriving : while across\n        Crossing_Arriving : announce Arrived\n" in text
    note = "        while loaded\n        keep flag present\n        report Sailing\n"
    assert f"    note right of Crossing\n{note}    end note\n" in text
    assert "    note right of Sheltering\n        while stormy\n        while not sunk\n    end note\n" in text


def test_a_state_with_nothing_to_say_has_no_note():
    """An empty note would be noise."""
    chart = loader.parse(
        "statechart: small\nfacts: {}\ninitial: One\nstates:\n  One:\n    initial: A\n    states:\n      A:\n",
        "<small>",
    ).statechart

    assert diagram(chart) == (
        "stateDiagram-v2\n"
        "    [*] --> One\n"
        '    state "One" as One\n'
        "    state One {\n"
        "        [*] --> One_A\n"
        '        state "A" as One_A\n'
        "    }\n"
    )


def test_an_arrow_that_leaves_its_state_is_drawn_outside(ferry: Statechart):
    """Inside the braces, Mermaid would draw the target there too."""
    text = diagram(ferry)

    assert "\n    Crossing_Arriving --> Moored : anchored\n" in text
    assert "\n        Crossing_Leaving --> Crossing_Arriving : across\n" in text


@pytest.mark.parametrize("at", ["Arriving", "Crossing.Arriving"])
def test_the_state_where_one_is_stands_out(ferry: Statechart, at: str):
    """By a bare name or a dotted one: a class for colour, a mark for those who see none."""
    text = diagram(ferry, at)

    assert '    state "▶ Arriving" as Crossing_Arriving\n' in text
    assert text.endswith("    class Crossing_Arriving here\n")
    assert text.count("▶") == text.count("classDef") == 1


def test_without_a_place_nothing_stands_out(ferry: Statechart):
    """The page in docs/ shows the statechart, not an object."""
    assert "▶" not in diagram(ferry)
    assert "class" not in diagram(ferry)


def test_an_unknown_place_is_refused(ferry: Statechart):
    """With the names there are."""
    with pytest.raises(ConfigError, match=r"ferry has no state 'Sea'; there are Waiting, Crossing.Leaving"):
        diagram(ferry, "Sea")


@pytest.mark.parametrize("name", OWN)
def test_diagrams_of_our_own_are_whole(name: str):
    """Every state appears once, braces close, each text stays clear of the characters that end one in Mermaid."""
    chart = loader.load(shipped() / f"{name}.yaml").statechart
    text = diagram(chart)
    declared = re.findall(r'^ +state ".*" as (\S+)$', text, re.MULTILINE)
    leaves = {dotted(chain).replace(".", "_") for chain in chart.leaves()}

    assert len(declared) == len(set(declared))
    assert leaves <= set(declared)
    assert text.count("{\n") == text.count("}\n")
    assert [line for line in text.splitlines() if ";" in line or line.count(":") > 1] == []


@pytest.mark.parametrize("name", OWN)
def test_a_drawing_has_fewer_arrows_than_the_table_has_edges(name: str):
    """That is why it is drawn from the tree."""
    chart = loader.load(shipped() / f"{name}.yaml").statechart
    edges = sum(len(leaf.edges) for leaf in compile_table(chart).leaves.values())
    drawn = [arrow for arrow in arrows(diagram(chart)) if arrow[2]]

    assert len(drawn) < edges
