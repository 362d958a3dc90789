"""The worked example of docs/add-a-life.md: its files are taken from the page, put together, and driven."""

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nvdra.apps
import nvdra.domains
from nvdra.apps import statecharts
from nvdra.apps.statechart_tools import faults_of, implemented
from nvdra.draw.page import page as page_of
from nvdra.loader import load

PAGE = Path(__file__).parents[2] / "docs/add-a-life.md"
LIFE = "tests/domains/power_cap/test_life.py"
TESTS = re.findall(r"^async def (test_\w+)", PAGE.read_text(), re.MULTILINE)


@pytest.fixture
def put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of the page, as if they were in the tree."""
    for name, text in re.findall(r"^```\w+ file=(\S+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "nvdra/domains/power_cap/__init__.py").touch()
    for package in (nvdra.apps, nvdra.domains):
        monkeypatch.setattr(
            package, "__path__", [*package.__path__, str(tmp_path / package.__name__.replace(".", "/"))]
        )
    monkeypatch.setattr(statecharts, "shipped", lambda: tmp_path / "statecharts")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if "power_cap" in name:
            del sys.modules[name]
    for package in (nvdra.apps, nvdra.domains):
        vars(package).pop("power_cap", None)


def test_the_statechart_keeps_the_laws(put_together: Path):
    """All six: also that its facts and things are those of the page's Python."""
    path = put_together / "statecharts/power-cap.yaml"

    assert implemented("power-cap") is not None
    assert list(faults_of(path)) == []
    assert page_of(load(path).statechart, "x.yaml").startswith("# power-cap\n")


def test_a_missing_while_is_found_as_the_page_says(put_together: Path):
    """Without the `while` of Capped a restart could end elsewhere."""
    path = put_together / "statecharts/power-cap.yaml"
    path.write_text(path.read_text().replace("        while: capped\n", ""))

    assert [re.sub(r".*?:\d+: (\w+): .*", r"\1", fault) for fault in faults_of(path)] == ["recomputable"]


@pytest.mark.parametrize("name", TESTS)
async def test_the_tests_of_the_page_pass(name: str, put_together: Path):
    """The life is driven through its states by the very test that the page shows."""
    spec = importlib.util.spec_from_file_location("power_cap_life", put_together / LIFE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    test = getattr(module, name)

    assert inspect.iscoroutinefunction(test)
    await test()


def test_the_page_has_tests():
    """An example without them would prove nothing."""
    assert len(TESTS) == 4
