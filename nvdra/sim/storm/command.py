"""`nvdra sim storm` and `nvdra sim sieve`: run from the command line, failures told small."""

import json
from pathlib import Path

import click
from attrs import frozen

from nvdra.errors import ConfigError, NvdraError
from nvdra.sim.storm.fate import script_of
from nvdra.sim.storm.page import Blown, tell_sieve, tell_storms
from nvdra.sim.storm.shrink import Shrinker, counted
from nvdra.sim.storm.sieve import SCENARIOS, sieve
from nvdra.sim.storm.storm import Outcome, Plan, play
from nvdra.sim.storm.story import diagram, story
from nvdra.sim.storm.world import Shape


@frozen
class Telling:
    """How much is told, and where a failure is written."""

    shrink: int = 0
    lines: int = 80
    folder: Path | None = None
    quiet: bool = False
    doc: Path | None = None


def storms(seed: int, steps: int, each: int, telling: Telling) -> None:
    """Seed after seed, until so many steps are done; the first failure is told in full."""
    failed, done, seconds, first = [], 0, 0.0, seed
    while done < steps:
        outcome = play(Plan(seed, min(each, steps - done)))
        if outcome.broken or not telling.quiet:
            _line(outcome)
        failed += [outcome] if outcome.broken else []
        seed, done, seconds = seed + 1, done + max(1, outcome.steps), seconds + outcome.seconds
    blown = Blown(first, seed - first, done, seconds, len(failed))
    click.echo(blown.summary)
    if telling.doc is not None:
        tell_storms(telling.doc, blown)
    _end(failed, telling)


def replayed(script: Path, telling: Telling) -> None:
    """A written script, once more."""
    outcome = play(_read(script))
    _line(outcome)
    _end([outcome] if outcome.broken else [], telling)


def sieved(scenario: str, every: int, *, quiet: bool, doc: Path | None = None) -> None:
    """One scenario of Sieve's, or "all"."""
    if scenario != "all" and scenario not in SCENARIOS:
        raise ConfigError(f"scenario {scenario!r}: all, {', '.join(SCENARIOS)}")
    all_found = []
    for name in SCENARIOS if scenario == "all" else [scenario]:
        found = sieve(name, every, (lambda _: None) if quiet else click.echo)
        click.echo(found.summary)
        for place in found.wrong:
            click.echo(f"  ✗ {place}")
        all_found.append(found)
    if doc is not None:
        tell_sieve(doc, all_found)
    wrong = sum(len(found.wrong) for found in all_found)
    if wrong:
        raise NvdraError(f"{wrong} disturbed runs ended otherwise than the undisturbed one")


def _line(outcome: Outcome) -> None:
    cliques = ",".join(str(clique) for clique in outcome.shape.cliques)
    verdict = f"✗ {outcome.broken}" if outcome.broken else "✓"
    click.echo(
        f"seed {outcome.plan.seed}  nodes {cliques}  {outcome.steps} steps  {counted(outcome)}"
        f"  trace {outcome.fingerprint}  {verdict}"
    )


def _end(failed: list[Outcome], telling: Telling) -> None:
    """The first failure is told in full."""
    if not failed:
        return
    outcome = failed[0]
    small = outcome
    if telling.shrink:
        click.echo(f"making it smaller: {counted(outcome)} at first")
        small = Shrinker(outcome.broken, telling.shrink, lambda line: click.echo(f"  {line}")).shrink(outcome)
        click.echo(f"{counted(small)} are enough")
    for line in story(small.trace.lines, telling.lines):
        click.echo(line)
    if telling.folder is not None:
        _write(small, telling.folder)
    raise NvdraError(f"seed {outcome.plan.seed}: {small.broken}")


def _write(outcome: Outcome, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    plan = outcome.plan
    script = {
        "seed": plan.seed,
        "steps": plan.steps,
        "until": outcome.until,
        "cliques": list(outcome.shape.cliques),
        "controllers": outcome.shape.controllers,
        "script": [fault.plain() for fault in outcome.told],
    }
    base = folder / f"seed-{plan.seed}"
    base.with_suffix(".json").write_text(json.dumps(script, indent=1))
    base.with_suffix(".txt").write_text("\n".join([outcome.broken, "", *story(outcome.trace.lines), ""]))
    base.with_suffix(".mmd").write_text(f"{diagram(outcome.trace.lines)}\n")
    click.echo(f"written: {base}.json (run it again with --replay), .txt, .mmd")


def _read(path: Path) -> Plan:
    found = json.loads(path.read_text())
    shape = Shape(tuple(found["cliques"]), found["controllers"])
    return Plan(found["seed"], found["steps"], script_of(found["script"]), found["until"], shape)
