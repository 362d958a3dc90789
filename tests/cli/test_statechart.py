"""`nvdra statechart …`: what it prints, and how it ends."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nvdra import loader
from nvdra.apps.statecharts import shipped
from nvdra.cli import nvdra
from nvdra.errors import ConfigError, StatechartError

LAMP = """\
statechart: lamp
about: The life of a lamp.
facts:
  dark:  It is dark.
  lit:   The lamp burns.
initial: Resting
states:
  Resting:
    absent: [flame]
    next:
      - when: dark
        to: Burning
  Burning:
    about: Light is needed.
    while: dark
    initial: Lighting
    states:
      Lighting:
        present: [flame]
        next:
          - when: lit
            to: Lit
      Lit:
        while: lit
        report: Lit
"""


@pytest.fixture
def lamp(tmp_path: Path) -> Path:
    path = tmp_path / "lamp.yaml"
    path.write_text(LAMP)
    return path


def ask(*words: str, typed: str = "") -> Result:
    return CliRunner().invoke(nvdra, ["statechart", *words], input=typed)


def test_the_shipped_statecharts_keep_the_laws():
    """Without a file, check looks at nvdra's own, including that facts and things are implemented."""
    result = ask("check")

    assert (result.exit_code, result.exception) == (0, None)
    assert result.output.count("keeps the laws") == len(list(shipped().glob("*.yaml")))


def test_each_fault_is_file_line_law_sentence(lamp: Path):
    """A broken law is shown where it is broken, and the command fails."""
    lamp.write_text(lamp.read_text().replace("        while: lit\n", ""))
    result = ask("check", str(lamp))

    assert isinstance(result.exception, StatechartError)
    assert str(result.exception) == "1 fault in 1 file"
    assert result.output == (
        f"{lamp}:23: recomputable: with [dark], Burning.Lit settles in Burning.Lit but Resting in Burning.Lighting\n"
    )


def test_faults_of_form_come_in_the_same_shape(lamp: Path):
    """What the loader objects to has a file, a line and a law too: every fault of the file at once."""
    lamp.write_text(lamp.read_text().replace("while: dark", "while: gloomy").replace("report: Lit", "reports: Lit"))
    result = ask("check", str(lamp))

    assert [line.split(": ")[:2] for line in result.output.splitlines()] == [
        [f"{lamp}:15", "closed"],
        [f"{lamp}:25", "form"],
    ]


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path):
    """Check goes on to the other files and fails at the end."""
    result = ask("check", str(tmp_path / "none.yaml"), "compute-domain")

    assert "none.yaml: cannot be read" in result.output
    assert "compute-domain.yaml: keeps the laws" in result.output
    assert str(result.exception) == "1 fault in 2 files"


def test_facts_and_things_of_a_known_name_are_compared(tmp_path: Path):
    """A user's own compute-domain.yaml must speak of the facts and things that the code knows."""
    own = tmp_path / "imex-domain.yaml"
    text = (shipped() / "imex-domain.yaml").read_text()
    own.write_text(text.replace("roster]", "register]").replace("listed", "written"))
    said = ask("check", str(own)).output

    line = next(number for number, text in enumerate(own.read_text().splitlines(), 1) if "written:" in text)
    assert f"{own}:{line}: closed: fact 'written' is declared but no function tells it" in said
    assert "closed: fact 'listed' is told but not declared" in said
    assert "closed: thing 'register' has no handler" in said
    assert "closed: thing 'roster' has a handler but is never ordered" in said


def test_draw_gives_a_diagram_or_an_outline(lamp: Path):
    """Mermaid unless asked for text; the state where one is carries a mark in both."""
    assert ask("draw", str(lamp)).output.startswith("stateDiagram-v2\n")
    assert "class Burning_Lit here" in ask("draw", str(lamp), "--at", "Lit").output
    assert "→   Lit\n" in ask("draw", str(lamp), "--as", "text", "--at", "Burning.Lit").output


def test_an_unknown_state_is_answered_with_those_there_are(lamp: Path):
    """Nobody has to open the file to find the name."""
    for words in (("draw", str(lamp), "--at", "Gone"), ("settle", str(lamp), "--from", "Gone")):
        result = ask(*words)

        assert isinstance(result.exception, ConfigError)
        assert str(result.exception) == "lamp has no state 'Gone'; there are Resting, Burning.Lighting, Burning.Lit"


def test_settle_tells_path_reasons_orders_and_waits(lamp: Path):
    """One look says where these facts lead, why, what stands there, and what would lead on."""
    assert ask("settle", str(lamp), "--facts", "dark").output == (
        "facts:   dark\n"
        "from:    Resting\n"
        "  → Burning.Lighting  because dark (progress)\n"
        "in:      Burning.Lighting\n"
        "orders:  present flame\n"
        "report:  nothing\n"
        "waits:   lit (The lamp burns.)\n"
    )


def test_settle_begins_where_it_is_told(lamp: Path):
    """A compound state stands for the leaf where it begins."""
    output = ask("settle", str(lamp), "--from", "Burning").output

    assert "from:    Burning.Lighting\n  → Resting  because not dark (retreat)\n" in output


def test_an_unknown_fact_is_answered_with_those_there_are(lamp: Path):
    """The same for facts."""
    result = ask("settle", str(lamp), "--facts", "dark,dim")

    assert str(result.exception) == "lamp has no fact 'dim'; it has dark, lit"


def test_walk_toggles_facts_by_name_and_number(lamp: Path):
    """A session on plain stdin: facts are toggled, errors do not end it, q does."""
    output = ask("walk", str(lamp), typed="dark, 2\n?\n7 nope\n1\nq\n2\n").output

    places = [line for line in output.splitlines() if line.startswith("in: ")]
    assert places == ["in:      Resting", "in:      Burning.Lit", "in:      Resting"]
    assert "  1 [ ] dark: It is dark." in output
    assert "  2 [x] lit: The lamp burns." in output
    assert "lamp has no fact '7', 'nope'; it has dark, lit" in output


def test_walk_ends_with_its_input(lamp: Path):
    """No q is needed."""
    result = ask("walk", str(lamp), typed="dark")

    assert (result.exit_code, result.output.count("in: ")) == (0, 2)


def test_a_name_without_a_file_is_answered_with_those_there_are():
    """FILE may be the name of a statechart of nvdra's."""
    result = ask("draw", "compute-demesne")

    assert "nvdra brings along channel-claim, compute-domain" in str(result.exception)
    assert ask("draw", "compute-domain").exit_code == 0


def test_pages_writes_only_what_is_stale(tmp_path: Path):
    """The first run writes a page for every statechart, the second none."""
    first, second = ask("pages", str(tmp_path)), ask("pages", str(tmp_path))

    assert len(first.output.splitlines()) == len(list(shipped().glob("*.yaml")))
    assert second.output == ""


def test_a_page_may_only_ask_for_parts_there_are(tmp_path: Path):
    """A mark with a wrong name is an error, not an empty part."""
    (tmp_path / "index.md").write_text("<!-- generated: nothing -->\n<!-- end of generated -->\n")

    assert "no generated part is called 'nothing'" in str(ask("pages", str(tmp_path)).exception)


def test_the_lamp_is_a_statechart(lamp: Path):
    """The example itself is sound."""
    assert loader.load(lamp).statechart.name == "lamp"
    assert ask("check", str(lamp)).output == f"{lamp}: keeps the laws\n"
