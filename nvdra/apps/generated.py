"""The generated parts of docs/: one page a statechart, and tables between marks in pages that people write.

With them, each statechart as it was read, for processes that load no YAML reader.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import click

from nvdra import loader
from nvdra.apps import commands
from nvdra.apps.chart_values import values_of
from nvdra.apps.statecharts import as_read, read_before
from nvdra.core.statechart import Statechart
from nvdra.draw.page import announcements, page, table
from nvdra.errors import ConfigError
from nvdra.explain.faults import FAULTS, Fault

_MARKED = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end of generated -->)", re.DOTALL)


def write_pages(docs: Path, statecharts: Path) -> Iterator[Path]:
    """Bring every generated part up to date; gives the files that had to be written."""
    for path, text in generated(docs, statecharts).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            yield path


def generated(docs: Path, statecharts: Path) -> Mapping[Path, str]:
    """Every file with a generated part, as it should be."""
    folder = docs / "statecharts"
    charts = {path: loader.load(path).statechart for path in sorted(statecharts.glob("*.yaml"))}
    pages = {
        folder / f"{chart.name}.md": page(chart, Path(os.path.relpath(path, folder)).as_posix())
        for path, chart in charts.items()
    }
    pages |= {read_before(path): as_read(path) for path in charts}
    tables = {
        "statecharts": _contents(charts.values()),
        "announcements": _announcements(charts.values()),
        **_values(docs.parent / "chart"),
        "faults": _faults(),
        "flags": _flags({"controller": commands.controller, "kubelet-plugin": commands.kubelet_plugin}),
    }
    for path in sorted(docs.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if _MARKED.search(text):
            pages[path] = _MARKED.sub(lambda mark: _filled(mark, tables), text)
    return pages


def _filled(mark: re.Match[str], tables: Mapping[str, str]) -> str:
    if mark[2] not in tables:
        raise ConfigError(f"no generated part is called {mark[2]!r}; there are {', '.join(tables)}")
    return f"{mark[1]}{tables[mark[2]]}{mark[3]}"


def _contents(charts: Collection[Statechart]) -> str:
    rows = ((f"[{chart.name}](statecharts/{chart.name}.md)", chart.about) for chart in charts)
    return _text(table(("statechart", "purpose"), rows))


def _announcements(charts: Collection[Statechart]) -> str:
    rows = (
        (f"`{reason}`", chart.name, when, about) for chart in charts for reason, when, about in announcements(chart)
    )
    return _text(table(("reason", "statechart", "when", "meaning"), rows))


def _values(chart: Path) -> Mapping[str, str]:
    """The values of the chart, where there is one beside docs/."""
    if not (chart / "values.schema.json").is_file():
        return {}
    known = [value for value in values_of(chart) if value.known]
    refused = [value for value in values_of(chart) if value.about.startswith("Refused")]
    return {
        "values": _text(table(("value", "default", "meaning"), ((f"`{v.path}`", v.default, v.about) for v in known))),
        "refused-values": _text(table(("value", "why"), ((f"`{v.path}`", v.about) for v in refused))),
    }


def _flags(processes: Mapping[str, click.Command]) -> str:
    """Every flag once, with those that have it."""
    owners: dict[tuple[str, str, str, str], list[str]] = {}
    for name, command in processes.items():
        for option in command.params:
            if isinstance(option, click.Option):
                owners.setdefault(_flag(option), []).append(name)
    head = ("flag", "environment", "default", "meaning", "of")
    return _text(table(head, ((*flag, ", ".join(names)) for flag, names in owners.items())))


def _flag(option: click.Option) -> tuple[str, str, str, str]:
    default = "required" if option.required else f"`{option.default}`" if option.default != "" else ""
    return f"`{option.opts[0]}`", f"`{option.envvar}`", default, option.help or ""


def _faults() -> str:
    """What may be wrong: the same table that `nvdra explain` reads and that the tests act out."""
    head = ("what is broken", "shown on", "it says", "and what to do", "tried on")
    rows = ((fault.broken, fault.shown, f"`{fault.says}`", f"`{fault.todo}`", _tried(fault)) for fault in FAULTS)
    return _text(table(head, rows))


def _tried(fault: Fault) -> str:
    return f"rack only: {fault.rack_only}" if fault.rack_only else "rack and cluster"


def _text(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
