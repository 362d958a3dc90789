"""The generated parts of docs/: one page a statechart, and tables between marks in pages that people write."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from nvdra import loader
from nvdra.core.statechart import Statechart
from nvdra.draw.page import announcements, page, table


def write_pages(docs: Path, statecharts: Path) -> Iterator[Path]:
    """Bring every generated part up to date; gives the files that had to be written."""
    for path, text in generated(docs, statecharts).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            yield path


def generated(docs: Path, statecharts: Path) -> Mapping[Path, str]:
    """What the pages should be."""
    folder = docs / "statecharts"
    charts = {path: loader.load(path).statechart for path in sorted(statecharts.glob("*.yaml"))}
    pages = {
        folder / f"{chart.name}.md": page(chart, Path(os.path.relpath(path, folder)).as_posix())
        for path, chart in charts.items()
    }
    tables = {"statecharts": _contents(charts.values()), "announcements": _announcements(charts.values())}
    for path in docs.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        if "<!-- generated: " in text:
            pages[path] = _filled(text, tables)
    return pages
