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
    refused = {text_of(k.value) for call in calls() if name_of(call) == "Refused" for k in call.keywords if k.arg == "reason"}
    told = {text_of(call.args[1]) for call in calls() if name_of(call) == "tell" and len(call.args) > 2}

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
