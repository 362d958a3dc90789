"""docs/scale.md shows what docs/scale.json says, and the command refuses what it cannot do."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from nvdra.errors import ConfigError
from nvdra.sim.scale import report
from nvdra.sim.scale.command import scale
from nvdra.sim.scale.ledger import merged

DOCS = Path(__file__).parents[3] / "docs"
STAMP = {"measured": "2026-01-01", "machine": "2 Z80"}
FIGURES = {
    "API server": "embedded",
    "joins": [
        {"nodes": 1008, "cliques": 56, "writes by kind": {"create x": 56}, "bytes": None, **STAMP},
        {"nodes": 5040, "cliques": 280, "arrive over, s": 120.0, "writes by kind": {"create x": 280}, "bytes": 12.5}
        | STAMP,
    ],
    "domains": [],
    "throttled": [],
}


def test_the_page_is_made_of_the_figures():
    """Whoever measures anew writes both: `nvdra sim scale --doc docs/scale.md` alone would change nothing."""
    assert (DOCS / "scale.md").read_text() == report.page(json.loads((DOCS / "scale.json").read_text()))


def test_every_figure_is_shown():
    """One column a run with its date, one row a figure, its parts below it, thousands set apart."""
    page = report.page([FIGURES])
    assert "|  | 1,008 nodes at once | 5,040 nodes over 120 s |" in page
    assert "| bytes |  | 12.5 |" in page
    assert "| cliques | 56 | 280 |\n| · create x | 56 | 280 |" in page
    assert "| measured | 2026-01-01 | 2026-01-01 |" in page
    assert "\nOn 2 Z80.\n" in page
    assert "Many ComputeDomains" not in page
    assert re.search(r"^ +1,008 nodes at once +5,040 nodes over 120 s$", report.text(FIGURES), re.MULTILINE)


def a_join(nodes, over, measured, **more):
    run = {"nodes": nodes, "cliques": 2, "arrive over, s": over, "measured": measured, "machine": "2 Z80"}
    return run | more


def at(server, *joins):
    return {"API server": server, "joins": list(joins), "domains": [], "throttled": []}


def test_a_run_takes_the_place_of_the_same_run_only():
    """Same API server, nodes, cliques and arrival; all others stay, each with its date, in order of size."""
    before = [
        at("embedded", a_join(36, 0.0, "monday"), a_join(36, 10.0, "monday")),
        at("kube-apiserver", a_join(36, 0.0, "x")),
    ]
    found = at("embedded", a_join(36, 10.0, "tuesday"), a_join(18, 120.0, "tuesday"))
    embedded, real = merged(before, found)
    assert embedded == at(
        "embedded", a_join(18, 120.0, "tuesday"), a_join(36, 0.0, "monday"), a_join(36, 10.0, "tuesday")
    )
    assert real == before[1]
    assert merged(merged(before, found), found) == [embedded, real]


def test_figures_of_another_machine_are_told_apart():
    """Each machine has a letter, and each run the letter of its machine."""
    other = a_join(36, 10.0, "tuesday", machine="4 PDP")
    page = report.page([at("embedded", a_join(36, 0.0, "monday"), other)])
    assert "On A: 2 Z80.\nOn B: 4 PDP." in page
    assert "| machine | A | B |\n| measured | monday | tuesday |" in page


@pytest.mark.slow
def test_a_single_run_is_added_to_the_page(tmp_path):
    """Two nodes, measured for real: their column is beside the others, with today's date."""
    (tmp_path / "scale.json").write_text(json.dumps([FIGURES]))
    outcome = CliRunner().invoke(scale, ["--nodes", "2/1", "--over", "1", "--doc", str(tmp_path / "scale.md")])
    assert outcome.exception is None
    (measured,) = json.loads((tmp_path / "scale.json").read_text())
    new, *old = measured["joins"]
    assert old == FIGURES["joins"]
    assert new["conflicts"] == 0
    page = (tmp_path / "scale.md").read_text()
    assert "|  | 2 nodes over 1 s | 1,008 nodes at once | 5,040 nodes over 120 s |" in page
    assert f"| measured | {new['measured']} | 2026-01-01 | 2026-01-01 |" in page


@pytest.mark.parametrize("nodes", ["1008", "18/36", "18/0", "a/b"])
def test_a_size_is_nodes_and_cliques(nodes):
    """Anything else is named, with what it should look like."""
    outcome = CliRunner().invoke(scale, ["--nodes", nodes])
    assert isinstance(outcome.exception, ConfigError)
    assert repr(nodes) in str(outcome.exception) and "1008/56" in str(outcome.exception)


def test_nothing_asked_for_is_said():
    """A run takes minutes: none begins by itself."""
    outcome = CliRunner().invoke(scale, [])
    assert "--nodes, --domains, --plugins, or --all" in str(outcome.exception)


def test_the_page_can_be_written_anew_without_measuring(tmp_path):
    """From the figures beside it."""
    (tmp_path / "scale.json").write_text(json.dumps([FIGURES]))
    outcome = CliRunner().invoke(scale, ["--doc", str(tmp_path / "scale.md")])
    assert outcome.exception is None
    assert (tmp_path / "scale.md").read_text() == report.page([FIGURES])
