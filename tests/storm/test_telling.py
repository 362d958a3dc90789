"""A failure is made small, replays, and is told as a story and as a diagram."""

import json
import re
from collections import Counter

import pytest
from click.testing import CliRunner

from nvdra.errors import ConfigError
from nvdra.sim.cli import sim
from nvdra.sim.storm.fate import MOVES, script_of
from nvdra.sim.storm.page import tell_sieve
from nvdra.sim.storm.shrink import Shrinker
from nvdra.sim.storm.sieve import Sieved
from nvdra.sim.storm.storm import Plan, play
from nvdra.sim.storm.story import diagram, story
from tests.storm.mutants import MUTANTS


@pytest.fixture
def mutant(monkeypatch):
    MUTANTS["no_record_ahead"](monkeypatch)


def a_failure():
    return next(o for o in (play(Plan(seed, 400)) for seed in range(1, 8)) if o.broken)


@pytest.mark.usefixtures("mutant")
def test_a_failure_is_made_small_and_stays_the_same():
    """Delta debugging leaves a handful of moves and faults, which fail in the same way again."""
    failure = a_failure()
    small = Shrinker(failure.broken, tries=30).shrink(failure)
    assert "of which it has no record" in small.broken
    assert len(small.told) <= 2 < len(failure.told)
    assert play(small.plan).trace.lines == small.trace.lines
    assert script_of(json.loads(json.dumps([fault.plain() for fault in small.told]))) == small.told
    assert any(fault.site == MOVES for fault in small.told)


@pytest.mark.usefixtures("mutant")
def test_the_story_says_who_did_what_in_which_state():
    """Moves, steps of statecharts, writes and the sentence that was broken, each with its time; and as Mermaid."""
    lines = a_failure().trace.lines
    told = story(lines)
    assert any("◆" in line for line in told)
    assert any("channel-claim" in line and "→" in line for line in told)
    assert "‼ n" in "\n".join(told)
    assert len(story(lines, 10)) == 11
    drawn = diagram(lines).splitlines()
    assert drawn[0] == "sequenceDiagram"
    assert any("->>" in line for line in drawn)
    assert "of which it has no record" in "\n".join(drawn)


def test_the_command_runs_storms():
    """A line a seed with its fingerprint, and steps a second."""
    ran = CliRunner().invoke(sim, ["storm", "--seed", "3", "--steps", "150", "--shrink", "0"])
    assert ran.exit_code == 0, ran.output
    assert "trace" in ran.output
    assert "steps a second; 0 failures" in ran.output


def test_what_it_came_to_is_written_into_its_page(tmp_path):
    """Between the marks, with machine and day; what people wrote around them stays; a page without marks is refused."""
    page = tmp_path / "storm.md"
    page.write_text("# Storm\n<!-- generated: nvdra sim storm --doc -->\nold\n<!-- end of generated -->\nrest\n")
    for _ in range(2):
        ran = CliRunner().invoke(sim, ["storm", "--seed", "3", "--steps", "150", "--quiet", "--doc", str(page)])
        assert ran.exit_code == 0, ran.output
    head, *_, row, end, rest = page.read_text().splitlines()
    assert (head, end, rest) == ("# Storm", "<!-- end of generated -->", "rest")
    assert re.fullmatch(r"\| 3 to 3 \| \d+ \| 0 \| \d+ \| \d+ \|", row)
    assert "old" not in page.read_text()
    page.write_text("nothing\n")
    ran = CliRunner().invoke(sim, ["storm", "--seed", "3", "--steps", "50", "--quiet", "--doc", str(page)])
    assert isinstance(ran.exception, ConfigError)


def test_what_sieve_found_is_a_row_a_scenario(tmp_path):
    """And one for all of them together."""
    page = tmp_path / "storm.md"
    page.write_text("<!-- generated: nvdra sim sieve --doc -->\n<!-- end of generated -->\n")
    tell_sieve(page, [Sieved("one", 1200, 3600, (), Counter()), Sieved("two", 1, 3, ("x",), Counter(pods=2))])
    assert (
        "| one | 1,200 | 3,600 | 0 | 0 |\n| two | 1 | 3 | 1 | 2 |\n| together | 1,201 | 3,603 | 1 | 2 |"
        in page.read_text()
    )


@pytest.mark.usefixtures("mutant")
def test_the_command_tells_a_failure(tmp_path):
    """It fails with the broken sentence, and writes script, story and diagram; the script fails again."""
    seed = a_failure().plan.seed
    said = ["storm", "--seed", str(seed), "--steps", "400", "--shrink", "0", "--folder", str(tmp_path)]
    ran = CliRunner().invoke(sim, said)
    assert ran.exit_code != 0
    assert "of which it has no record" in str(ran.exception or ran.output)
    assert "sequenceDiagram" in (tmp_path / f"seed-{seed}.mmd").read_text()
    again = CliRunner().invoke(sim, ["storm", "--replay", str(tmp_path / f"seed-{seed}.json"), "--shrink", "0"])
    assert again.exit_code != 0
    assert "of which it has no record" in str(again.exception or again.output)
