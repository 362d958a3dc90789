"""`nvdra statechart …`: check, draw, settle and walk statecharts at a desk, without a cluster."""

import re
import sys
from collections.abc import Collection, Iterator
from importlib import import_module, util
from pathlib import Path
from typing import Any, cast

import click

from nvdra import loader
from nvdra.apps.generated import write_pages
from nvdra.apps.statecharts import shipped
from nvdra.apps.walk import Walk, known_facts, leaf_called
from nvdra.core import laws
from nvdra.core.machine import Interpreter
from nvdra.core.table import compile_table
from nvdra.draw.mermaid import diagram
from nvdra.draw.step import story
from nvdra.draw.text import outline
from nvdra.errors import ConfigError, StatechartError

FILE = click.argument("file", metavar="FILE")


@click.group()
def statechart() -> None:
    """Check, draw and try out statecharts.

    FILE is a path, or the name of a statechart that nvdra brings along, such as compute-domain.
    """


@statechart.command()
@click.argument("files", metavar="FILE...", nargs=-1)
def check(files: tuple[str, ...]) -> None:
    """Check against the six laws.

    Without a FILE: nvdra's own. Each fault is a line, file:line: law: sentence.
    """
    paths = [_path(file) for file in files] or sorted(shipped().glob("*.yaml"))
    broken = 0
    for path in paths:
        faults = list(faults_of(path))
        broken += len(faults)
        click.echo("\n".join(faults) or f"{path}: keeps the laws")
    if broken:
        raise StatechartError(f"{_count(broken, 'fault')} in {_count(len(paths), 'file')}")


@statechart.command()
@FILE
@click.option("--as", "form", type=click.Choice(["mermaid", "text"]), default="mermaid", show_default=True)
@click.option("--at", metavar="STATE", help="The state where one is; it is marked.")
def draw(file: str, form: str, at: str | None) -> None:
    """Draw a diagram or an outline."""
    chart = loader.load(_path(file)).statechart
    click.echo(diagram(chart, at) if form == "mermaid" else outline(chart, at), nl=False)


@statechart.command()
@FILE
@click.option("--facts", default="", metavar="A,B", help="The facts that hold, with commas between.")
@click.option("--from", "start", metavar="STATE", help="Where to begin; without it, at the very beginning.")
def settle(file: str, facts: str, start: str | None) -> None:
    """Show where facts lead, and why.

    The path with its reasons, the standing orders, and what is waited for.
    """
    chart = loader.load(_path(file)).statechart
    held = known_facts(chart, (word for word in re.split(r"[,\s]+", facts) if word))
    begin = leaf_called(chart, start or chart.initial)
    step = Interpreter(compile_table(chart)).settle(begin, held)
    click.echo(story(chart, begin, step, held), nl=False)


@statechart.command()
@FILE
def walk(file: str) -> None:
    """Toggle facts, see the steps.

    Facts are toggled by name or number; q ends.
    """
    walker = Walk(loader.load(_path(file)).statechart)
    click.echo(walker.menu())
    click.echo(walker.look(), nl=False)
    for line in _lines():
        click.echo(walker.answer(line), nl=False)


@statechart.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(file_okay=False, exists=True, path_type=Path))
def pages(folder: Path) -> None:
    """Write the generated docs in FOLDER."""
    for path in write_pages(folder, shipped()):
        click.echo(f"{path}: written")


def faults_of(path: Path) -> Iterator[str]:
    """Every fault of one file, as `file:line: law: sentence`."""
    try:
        loaded = loader.load(path)
    except StatechartError as error:
        yield from _unreadable(str(error))
        return
    facts, things = implemented(loaded.statechart.name) or (None, None)
    yield from map(loaded.said, laws.check(compile_table(loaded.statechart), facts, things))


def implemented(name: str) -> tuple[Collection[str], Collection[str]] | None:
    """The facts and things that nvdra has for a statechart of that name; None when it has none."""
    package = f"nvdra.domains.{name.replace('-', '_')}"
    if util.find_spec(package) is None or util.find_spec(f"{package}.things") is None:
        return None
    facts = import_module(f"{package}.facts").FACTS
    # handlers are only named here, never called: they need no ports for that
    things = import_module(f"{package}.things").things(cast("Any", _NoPorts()))
    return tuple(facts.by_name), tuple(things)


class _NoPorts:
    """Stands for the ports of handlers that nobody calls."""

    def __getattr__(self, name: str) -> None:
        """No port is there."""
        return


def _unreadable(text: str) -> Iterator[str]:
    """The loader's faults, with a law's name where one is at stake; anything else is a matter of form."""
    for line in text.splitlines():
        found = re.fullmatch(r"(.*?:\d+): (.*)", line)
        if found:
            law = "closed" if found[2].startswith("undeclared fact") else "form"
            yield f"{found[1]}: {law}: {found[2]}"
        elif not re.search(r": \d+ faults?$", line):
            yield line


def _lines() -> Iterator[str]:
    """What is typed, up to the end or a q."""
    while True:
        click.echo("> ", nl=False)
        line = sys.stdin.readline()
        if line.strip() in ("q", "quit", "exit"):
            return
        if not line:
            click.echo()
            return
        yield line


def _path(file: str) -> Path:
    path = Path(file)
    named = shipped() / f"{file}.yaml"
    if path.exists() or not re.fullmatch(r"[a-z][a-z0-9-]*", file):
        return path
    if not named.exists():
        there = ", ".join(sorted(found.stem for found in shipped().glob("*.yaml")))
        raise ConfigError(f"{file}: no such file, and no statechart of that name; nvdra brings along {there}")
    return named


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
