"""Whatever the file, the answer is a statechart or a StatechartError."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra import loader
from nvdra.apps.statecharts import shipped
from nvdra.core.table import compile_table
from nvdra.errors import StatechartError

GOOD = [file.read_text() for file in sorted(shipped().glob("*.yaml"))]
WORDS = ["&a ", "*a", "<<: *a", "? ", ": ", "- ", "!!python/object:os.system ", "|\n", ">\n", "{", "}", "[", "]", "\t", "'", '"',
         "\n", "states:", "initial:", "on:", "~", "null", "true", "\\0", "\ud7ff", "%", "@", "`", "#", "...", "---", "5m", " "]  # fmt: skip


def read(text):
    """Compiling a chart that was read is part of the promise."""
    with contextlib.suppress(StatechartError):
        compile_table(loader.parse(text).statechart)


@given(st.text())
@settings(max_examples=150)
def test_any_text(text):
    """Text of any kind."""
    read(text)


@given(st.data())
@settings(max_examples=250)
def test_good_files_that_were_sat_on(data):
    """Shipped files with pieces cut out, doubled, or words of YAML thrown in."""
    text = data.draw(st.sampled_from(GOOD))
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(text)))
        end = min(len(text), begin + data.draw(st.integers(0, 40)))
        text = text[:begin] + data.draw(st.sampled_from([*WORDS, "", text[begin:end] * 2])) + text[end:]
    read(text)


@given(st.data())
@settings(max_examples=100)
def test_good_files_with_lines_moved(data):
    """Shipped files with lines left out or moved: a valid YAML more often than not."""
    lines = data.draw(st.sampled_from(GOOD)).splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        line = lines.pop(data.draw(st.integers(0, len(lines) - 1)))
        if data.draw(st.booleans()):
            lines.insert(data.draw(st.integers(0, len(lines))), line)
    read("\n".join(lines))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        "a: " * 50_000,
        "{a: " * 900 + "1" + "}" * 900,
        "a: &a [*a]",
        "&a {states: *a, facts: *a, initial: *a, statechart: *a}",
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a]\nstates: {A: {next: [*b,*b]}}",
        'statechart: a\nfacts: {a: .}\ninitial: A\nstates: {A: {while: "a\\0"}}',
        'statechart: a\nfacts: {a: .}\ninitial: A\nstates: {A: {while: "\\ud800"}}',
        "statechart: a\nfacts: {a: .}\ninitial: A\nstates: {A: {while: " + "not " * 20_000 + "a}}",
    ],
)
def test_traps(text):
    """Depth, cycles, bombs and bytes that trip a parser."""
    read(text)
