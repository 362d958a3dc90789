"""A faulty file is told all of its faults at once, each with its line and place; a good one knows where all stands."""

import pytest

from nvdra import loader
from nvdra.core.laws import Fault
from nvdra.errors import StatechartError

LAMP = """\
statechart: lamp
about: A lamp.
facts:
  switched: The switch is on.
initial: Off1
states:
  Off1:
    next:
      - when: switched
        to: Lit
  Lit:
    while: switched
    present: [light]
    initial: Dim
    states:
      Dim:
        after: { 5m: StillDim }
      Bright:
"""


def faults(text, file="<text>"):
    with pytest.raises(StatechartError) as caught:
        loader.parse(text, file)
    first, *rest = str(caught.value).splitlines()
    return rest or [first]


def changed(old, new):
    assert LAMP.count(old) == 1
    return LAMP.replace(old, new)


def test_a_good_file_is_read():
    """Names, nesting, orders and durations arrive as written."""
    chart = loader.parse(LAMP).statechart
    assert (chart.name, chart.about, chart.initial, list(chart.states)) == ("lamp", "A lamp.", "Off1", ["Off1", "Lit"])
    assert [chain[-1].name for chain in chart.leaves()] == ["Off1", "Dim", "Bright"]
    assert chart.states["Lit"].states["Dim"].after == {300.0: "StillDim"}
    assert chart.states["Lit"].present == ("light",)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("about: A lamp.", "abuot: A lamp.", "2: unknown key; known here: about, facts, initial, statechart, states @ .abuot"),
        ("statechart: lamp\n", "", "1: 'statechart' is missing"),
        ("initial: Off1\n", "", "1: 'initial' is missing"),
        ("statechart: lamp", "statechart: The Lamp", "1: 'The Lamp' is not a name of the form [a-z][a-z0-9-]* @ .statechart"),
        ("statechart: lamp", "statechart: off", "1: 'off' is not a name of the form [a-z][a-z0-9-]* @ .statechart"),
        ("initial: Off1", "initial: Of", "5: no state 'Of' here; there are Off1, Lit @ .initial"),
        ("initial: Dim", "initial: Dam", "14: no state 'Dam' here; there are Dim, Bright @ .states.Lit.initial"),
        ("        to: Lit", "        to: Lid", "10: no state is called 'Lid' @ .states.Off1.next[0].to"),
        ("        to: Lit", "        to: Off1.Dim", "10: 'Off1.Dim' is ambiguous: write Outer.Inner @ .states.Off1.next[0].to"),
        ("        to: Lit\n", "", "9: needs 'when' and 'to' @ .states.Off1.next[0]"),
        ("when: switched", "when: switchd", "9: undeclared fact 'switchd' in 'switchd' @ .states.Off1.next[0].when"),
        ("when: switched", "when: switched == 3", "9: 'switched == 3': only fact names, 'and', 'or', 'not' and brackets; found 'switched == 3' @ .states.Off1.next[0].when"),
        ("when: switched", "when: [switched]", "9: needs a text @ .states.Off1.next[0].when"),
        ("when: switched", "when: " + "not " * 14 + "switched", "9: a guard of 64 characters, at most 60: name a fact @ .states.Off1.next[0].when"),
        ("    present: [light]", "    presnt: [light]", "13: unknown key; known here: about, absent, after, announce, final, initial, next, preempts, present, report, states, while @ .states.Lit.presnt"),
        ("    present: [light]", "    present: light", "13: needs a list @ .states.Lit.present"),
        ("    present: [light]", "    present: [Light]", "13: 'Light' is not a name of the form [a-z][a-z0-9-]* @ .states.Lit.present[0]"),
        ("    present: [light]", "    present: [off]", "13: 'off' is not a name of the form [a-z][a-z0-9-]* @ .states.Lit.present[0]"),
        ("    present: [light]", "    report: lit", "13: 'lit' is not a name of the form [A-Z][A-Za-z]* @ .states.Lit.report"),
        ("    present: [light]", "    final: true", "13: only a leaf may have 'final' @ .states.Lit.final"),
        ("    present: [light]", "    announce: LampLit", "13: only a leaf may have 'announce' @ .states.Lit.announce"),
        ("    initial: Dim\n", "", "12: a state with states inside needs 'initial' @ .states.Lit"),
        ("  Off1:\n", "  Off1:\n    initial: Dim\n", "8: a state without states inside has no 'initial' @ .states.Off1.initial"),
        ("{ 5m: StillDim }", "{ 5 minutes: StillDim }", "17: '5 minutes' is not a duration such as 30s, 5m or 1h @ .states.Lit.states.Dim.after.5 minutes"),
        ("{ 5m: StillDim }", "{ 60s: StillDim, 1m: StillDim }", "17: that time is written already in other words @ .states.Lit.states.Dim.after.1m"),
        ("{ 5m: StillDim }", "[5m]", "17: needs a mapping @ .states.Lit.states.Dim.after"),
        ("      Bright:", "      bright:", "18: a state is named in PascalCase @ .states.Lit.states.bright"),
        ("      Bright:", "      Bright: { final: yes }", "18: can only be true @ .states.Lit.states.Bright.final"),
        ("      Bright:", "      Bright: { preempts: switched }", "18: only an outermost state may preempt @ .states.Lit.states.Bright.preempts"),
        ("      Bright:", "      Bright: { initial: A, states: { A: } }", "18: nested deeper than 2: this is two statecharts @ .states.Lit.states.Bright.states"),
        ("      Bright:", "      Dim:", "18: written twice @ .states.Lit.states.Dim"),
        ("      Bright:", "      On:", "18: 'On' cannot be a key @ .states.Lit.states"),
        ("      Bright:", "      [a, b]: x", "18: '' cannot be a key @ .states.Lit.states"),
        ("  Off1:\n", "  Off1:\n    preempts: switched\n", "5: what preempts cannot be where one begins @ .initial"),
        ("  switched: The switch is on.", "  switched: The switch is on.\n  Powered: There is power.", "5: a fact is named in snake_case, and not by a word of Python @ .facts.Powered"),
        ("  switched: The switch is on.", "  switched: The switch is on.\n  lambda: A word.", "5: a fact is named in snake_case, and not by a word of Python @ .facts.lambda"),
        ("  switched: The switch is on.", "  switched: The switch is on.\n  no: A Norwegian.", "5: 'no' cannot be a key @ .facts"),
        ("  switched: The switch is on.", "  switched:", "4: needs a text @ .facts.switched"),
    ],
)  # fmt: skip
def test_each_fault_has_its_line(old, new, told):
    """One change, one fault, where it stands."""
    assert faults(changed(old, new)) == [f"<text>:{told}"]


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n", "true", "false", "On", "YES"])
def test_no_word_that_yaml_1_1_reads_as_a_boolean(word):
    """`on:` is True to half of the YAML readers: no key is written so."""
    assert faults(changed("    next:", f"    {word}: x\n    next:")) == [
        f"<text>:8: {word!r} cannot be a key @ .states.Off1"
    ]


def test_all_faults_at_once():
    """Whoever mends a file sees everything that is wrong with it, faults of reference included."""
    text = changed("when: switched", "when: switchd or").replace("to: Lit", "to: Lid").replace("[light]", "light")
    assert faults(text.replace("initial: Dim", "initial: Dam"), "lamp.yaml") == [
        "lamp.yaml:9: not a sentence over facts: 'switchd or' (invalid syntax) @ .states.Off1.next[0].when",
        "lamp.yaml:13: needs a list @ .states.Lit.present",
        "lamp.yaml:10: no state is called 'Lid' @ .states.Off1.next[0].to",
        "lamp.yaml:14: no state 'Dam' here; there are Dim, Bright @ .states.Lit.initial",
    ]


def test_too_many_facts():
    """Fifteen facts are more than the laws can be checked over: a statechart that needs them is two."""
    more = "\n".join(f"  fact{n}: Another." for n in range(14))
    told = faults(changed("  switched: The switch is on.", f"  switched: The switch is on.\n{more}"))
    assert told == ["<text>:4: 15 facts, at most 14: this is two statecharts @ .facts"]


def test_an_ambiguous_name_is_told():
    """A bare name that two states have is not guessed at; a sibling of that name is meant first."""
    two = (
        LAMP
        + "  Out:\n    initial: Dim\n    states:\n      Dim:\n      Bright:\n        next: [{ when: switched, to: Dim }]\n"
    )
    assert loader.parse(two).statechart.states["Out"].states["Bright"].next[0].to == "Dim"
    told = faults(two.replace("to: Lit", "to: Dim"))
    assert told == ["<text>:10: 'Dim' is ambiguous: write Outer.Inner @ .states.Off1.next[0].to"]
    assert loader.parse(two.replace("to: Lit", "to: Out.Dim")).statechart.states["Off1"].next[0].to == "Out.Dim"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "<text>:1: the file is empty"),
        ("- a\n- b", "<text>:1: needs a mapping"),
        ("a: [b\nc: d", "<text>:2: not YAML: did not find expected ',' or ']'"),
        ("a: 1\n---\nb: 2", "<text>:2: not YAML: but found another document"),
        ("a: *b", "<text>:1: not YAML: found undefined alias"),
        ("a: \x07", "<text>:1: not YAML: "),
    ],
)
def test_what_is_no_statechart_at_all(text, told):
    """The first line says why nothing could be read."""
    assert faults(text)[0].startswith(told)


def test_states_must_be_there():
    """An empty map of states is a fault of its own, not a riddle about `initial`."""
    text = LAMP[: LAMP.index("states:")] + "states: {}\n"
    assert faults(text) == ["<text>:6: no states @ .states"]


def test_a_state_within_itself_is_refused():
    """A YAML alias may contain itself; the reader does not follow it down."""
    text = LAMP[: LAMP.index("states:")] + "states:\n  Off1: &a\n    initial: Off1\n    states: { Off1: *a }\n"
    assert any("nested deeper than 2" in line for line in faults(text))


def test_the_file_bears_the_name(tmp_path):
    """A statechart is found by its name, so file and name agree."""
    file = tmp_path / "lamp.yaml"
    file.write_text(LAMP)
    assert loader.load(file).file == str(file)
    other = file.rename(tmp_path / "torch.yaml")
    with pytest.raises(StatechartError, match=r"torch\.yaml:1: is called 'lamp' but the file 'torch' @ \.statechart"):
        loader.load(other)


def test_a_file_that_cannot_be_read(tmp_path):
    """Missing, or not text: the error names the file and why."""
    with pytest.raises(StatechartError, match=r"gone\.yaml: cannot be read: .*No such file"):
        loader.load(tmp_path / "gone.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(StatechartError, match=r"binary\.yaml: cannot be read: .*decode"):
        loader.load(binary)


def test_a_fault_stands_at_the_nearest_line_that_is_known():
    """Laws speak of places; a place without a line of its own is told by what it is in."""
    loaded = loader.parse(LAMP, "lamp.yaml")
    assert loaded.where(("states", "Lit", "while")) == "lamp.yaml:12"
    assert loaded.where(("states", "Off1", "next", 0, "when")) == "lamp.yaml:9"
    assert loaded.where(("states", "Off1", "next", 7)) == "lamp.yaml:8"
    assert loaded.where(("nowhere",)) == "lamp.yaml:1"
    assert loaded.said(Fault("alive", "never", ("states", "Lit"))) == "lamp.yaml:11: alive: never"
