"""The documentation is true: its commands run, its examples do what it says, its generated parts are fresh."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nvdra import loader
from nvdra.apps.generated import generated
from nvdra.apps.statechart_tools import faults_of
from nvdra.apps.statecharts import shipped
from nvdra.core.laws import worlds
from nvdra.core.machine import Interpreter
from nvdra.core.table import compile_table

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
TAGS = {"", "cluster", "make"}
"""What a console block may say after its language: run as it is, needs a cluster, is a target of make."""


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Language, tag and text of each fenced block."""
    for found in re.finditer(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        yield found[1], found[2].strip(), found[3]


def commands(tag: str) -> list[tuple[str, str]]:
    """Each command of the console blocks of that tag, with the output that the page shows."""
    found = []
    for page in PAGES:
        for language, said, text in blocks(page):
            if language == "console" and said == tag:
                found += re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
    return found


@pytest.fixture
def path_with_nvdra(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has installed nvdra."""
    script = tmp_path / "nvdra"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m nvdra "$@"\n')
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(("command", "shown"), commands(""))
def test_commands_print_what_the_page_shows(command: str, shown: str, path_with_nvdra: dict[str, str]):
    """A reader who types it sees the same; a line of three dots stands for any number of lines."""
    run = subprocess.run(command, shell=True, cwd=ROOT, env=path_with_nvdra, capture_output=True, text=True, timeout=60)

    assert (run.returncode, run.stderr) == (0, "")
    pattern = re.escape(shown).replace(re.escape("...\n"), "(?:.*\n)*")
    assert not shown or re.fullmatch(pattern, run.stdout), run.stdout


@pytest.mark.parametrize("command", [command for command, _ in commands("make")])
def test_targets_of_make_exist(command: str):
    """They cannot run inside a test that they run; that make knows what to do is checked."""
    words = command.partition("#")[0].split()
    run = subprocess.run([words[0], "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (words[0], run.returncode, run.stderr) == ("make", 0, "")


def test_every_block_of_commands_says_what_it_needs():
    """No command escapes the tests by an unknown tag, or by the name of another language."""
    wrong = [
        f"{page.name}: ```{language} {tag}"
        for page in PAGES
        for language, tag, _ in blocks(page)
        if (language == "console" and tag not in TAGS) or language in ("sh", "bash", "shell")
    ]

    assert wrong == []


def test_links_lead_somewhere():
    """Every relative link of every page is a file that exists."""
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert dead == []


def test_generated_parts_are_fresh():
    """`make docs` would change nothing."""
    stale = [
        path.relative_to(ROOT).as_posix()
        for path, text in generated(DOCS, shipped()).items()
        if not path.exists() or path.read_text() != text
    ]

    assert stale == [], "run `make docs`"


def test_a_statechart_that_is_gone_has_no_page():
    """Pages and statecharts are the same set."""
    assert {page.stem for page in (DOCS / "statecharts").glob("*.md")} == {p.stem for p in shipped().glob("*.yaml")}


def test_examples_on_disk_are_those_of_the_page():
    """docs/examples/ holds what semantics.md shows, so that its commands can be typed."""
    shown = {f"{_name(text)}.yaml": text for _, tag, text in blocks(DOCS / "semantics.md") if tag == "example"}

    assert {path.name: path.read_text() for path in (DOCS / "examples").glob("*.yaml")} == shown


def _broken() -> list[tuple[str, str]]:
    found = list(blocks(DOCS / "semantics.md"))
    return [(text, found[number + 1][2]) for number, (_, tag, text) in enumerate(found) if tag == "breaks"]


@pytest.mark.parametrize(("text", "said"), _broken())
def test_broken_examples_break_as_the_page_says(text: str, said: str, tmp_path: Path):
    """Each law's example gives exactly the message beside it."""
    path = tmp_path / f"{_name(text)}.yaml"
    path.write_text(text)

    assert "".join(f"{line}\n" for line in faults_of(path)).replace(f"{tmp_path}/", "") == said


def test_every_law_has_its_example():
    """The page shows how each of the six is broken."""
    page = (DOCS / "semantics.md").read_text()
    laws = re.findall(r"^### (\w+)$", page, re.MULTILINE)

    assert laws == ["settles", "recomputable", "reachable", "alive", "coherent", "closed"]
    assert [law for law in laws if not any(f": {law}: " in said for _, said in _broken())] == []


def test_every_key_is_in_the_table():
    """What the loader takes is what the page lists."""
    keys = {
        key for row in re.findall(r"^\| (`.*?) \|", _part("Every key"), re.MULTILINE) for key in re.findall(r"\w+", row)
    }

    assert keys == loader._TOP | loader._STATE  # the loader's own sets: a new key without a row must fail


@pytest.mark.parametrize("name", sorted(path.stem for path in shipped().glob("*.yaml")))
def test_the_reference_on_the_page_is_the_interpreter(name: str):
    """The few lines of the page settle like the engine, from every state with every set of facts."""
    scope: dict[str, object] = {}
    code = next(text for _, tag, text in blocks(DOCS / "semantics.md") if tag == "reference")
    exec(code, scope)
    settle = scope["settle"]
    assert callable(settle)
    table = compile_table(loader.load(shipped() / f"{name}.yaml").statechart)
    interpreter = Interpreter(table)
    sample = list(worlds(table.statechart.facts))[::7]

    different = [
        (s, f) for f in sample for s in table.leaves if settle(table, s, f) != interpreter.settle(s, f).leaf.name
    ]
    assert different == []


def _name(text: str) -> str:
    return loader.parse(text, "<page>").statechart.name if "redy" not in text else "stranger"


def _part(title: str) -> str:
    return (DOCS / "semantics.md").read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
