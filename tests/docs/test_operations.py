"""docs/operations.md names every condition, Event reason and metric that the code can show, and none besides."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operations.md").read_text()
CODE = [path for path in sorted((ROOT / "nvdra").rglob("*.py")) if "sim" not in path.relative_to(ROOT / "nvdra").parts]


def calls() -> Iterator[ast.Call]:
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield node


def name_of(call: ast.Call) -> str:
    return getattr(call.func, "attr", None) or getattr(call.func, "id", "")


def text_of(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def table(title: str) -> set[str]:
    """The first cells of the tables of a part, without those that are generated."""
    part = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    written = re.sub(r"<!-- generated.*?<!-- end of generated -->", "", part, flags=re.DOTALL)
    return set(re.findall(r"^\| `(\w+)`", written, re.MULTILINE))


def test_every_reason_is_explained():
    """Each reason of a refusal and of an Event has a row, and each row a reason in the code."""
    refused = {
        text_of(k.value) for call in calls() if name_of(call) == "Refused" for k in call.keywords if k.arg == "reason"
    }
    told = {text_of(call.args[1]) for call in calls() if name_of(call) == "tell" and len(call.args) > 2}
    told |= {text_of(call.args[0]) for call in calls() if name_of(call) == "tell_waiting"}

    assert table("Events") == (refused | told) - {""}


def test_every_condition_is_explained():
    """Each condition of a ComputeDomain has a row."""
    status = ast.parse((ROOT / "nvdra/domains/compute_domain/status.py").read_text())
    found = {
        text_of(node.args[0]) or "Formed"  # written as a constant there
        for node in ast.walk(status)
        if isinstance(node, ast.Call) and name_of(node) == "Condition"
    }

    assert table("Conditions of a ComputeDomain") == found


def test_every_metric_is_explained():
    """Each metric has a row."""
    text = (ROOT / "nvdra/adapters/metrics.py").read_text()
    names = set(re.findall(r'"((?:nvdra|nvidia_dra)_\w+)"', text))

    assert table("Metrics and health") == names


def test_every_variable_of_the_daemon_is_explained():
    """What an IMEX daemon reads from its environment has a row, and each row is read."""
    read = set()
    for path in (ROOT / "nvdra/apps").glob("daemon*.py"):
        read |= set(re.findall(r'environ(?:\.get\(|\[|, )"([A-Z_]+)"', path.read_text()))
    part = PAGE.partition("### Environment of an IMEX daemon")[2].partition("\n## ")[0]
    rows = {name for row in re.findall(r"^\| (`.*?) \|", part, re.MULTILINE) for name in re.findall(r"[A-Z_]+", row)}

    assert rows == read


def parity(title: str) -> list[tuple[str, str, str]]:
    """Number, verdict and tests of each row of a part of docs/parity.md."""
    part = (ROOT / "docs/parity.md").read_text().partition(f"\n## {title}")[2].partition("\n## ")[0]
    return re.findall(r"^\| ([\d.]+) \| .*? \| (.*?) \| (.*?) ?\|$", part, re.MULTILINE)


def test_parity_leaves_no_row_out():
    """All 55 bugs and requests, all 30 latent defects, and every section from 1 to 5, each with a verdict."""
    assert [row[0] for row in parity("12.1")] == [str(number) for number in range(1, 56)]
    assert [row[0] for row in parity("12.2")] == [str(number) for number in range(1, 31)]
    sections = [{row[0] for row in parity(f"{number}. ")} for number in range(1, 6)]
    assert [len(found) for found in sections] == [9, 2, 5, 24, 5]
    rows = [row for title in ("1. ", "2. ", "3. ", "4. ", "5. ", "12.1", "12.2") for row in parity(title)]
    assert [row for row in rows if not re.search(r"\*\*(done|differs|not yet)\*\*", row[1])] == []


def test_parity_points_at_tests_that_exist():
    """Where a row says it is tested there is a test."""
    named = set(re.findall(r"`(tests/[\w/.]+)`", (ROOT / "docs/parity.md").read_text()))
    missing = [
        name for name in sorted(named) if not (list((ROOT / name).rglob("test_*.py")) or (ROOT / name).is_file())
    ]

    assert missing == []
