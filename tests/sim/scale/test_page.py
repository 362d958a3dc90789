"""docs/scale.md shows what docs/scale.json says, and the command refuses what it cannot do."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from nvdra.errors import ConfigError
from nvdra.sim.scale import report
from nvdra.sim.scale.command import scale

DOCS = Path(__file__).parents[3] / "docs"
FIGURES = {
    "machine": {"processor": "Z80", "processors": "2", "memory": "64 kB", "kernel": "1"},
    "date": "2026-01-01",
    "API server": "embedded",
    "joins": [
        {"nodes": 1008, "cliques": 56, "writes by kind": {"create x": 56}, "bytes": None},
        {"nodes": 5040, "cliques": 280, "writes by kind": {"create x": 280}, "bytes": 12.5},
    ],
    "domains": [],
    "throttled": [],
}


def test_the_page_is_made_of_the_figures():
    """Whoever measures anew writes both: `nvdra sim scale --doc docs/scale.md` alone would change nothing."""
    assert (DOCS / "scale.md").read_text() == report.page(json.loads((DOCS / "scale.json").read_text()))


def test_every_figure_is_shown():
    """One column a run, one row a figure, thousands set apart; what has many parts comes below with its run's name."""
    page = report.page([FIGURES])
    assert "| nodes | 1,008 | 5,040 |" in page
    assert "| bytes |  | 12.5 |" in page
    assert "5,040 nodes, 280 cliques: writes by kind: create x 280." in page
    assert "Many ComputeDomains" not in page
    assert re.search(r"^nodes +1,008 +5,040$", report.text(FIGURES), re.MULTILINE)


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
