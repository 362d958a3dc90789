"""`nvdra sim storm`: storms from the command line, their failures told small."""

import json
from pathlib import Path
from typing import Any

import click
from attrs import frozen

from nvdra.errors import NvdraError
from nvdra.sim.storm.fate import script_of
from nvdra.sim.storm.shrink import Shrinker, counted
from nvdra.sim.storm.sieve import SCENARIOS, sieve
from nvdra.sim.storm.storm import Outcome, Plan, play
from nvdra.sim.storm.story import diagram, story
from nvdra.sim.storm.world import Shape


@frozen
class _Told:
    """How much is told of a failure."""

    shrink: int
    lines: int
    folder: Path | None


@click.command()
@click.option("--seed", default=1, show_default=True, help="The first seed.")
@click.option(
    "--steps", default=1000, show_default=True, help="Steps in all; each is a moment at which a fault may come."
)
@click.option("--each", default=1500, show_default=True, help="Steps of one seed; then comes the next seed.")
@click.option("--shrink", default=150, show_default=True, help="Storms to try in making a failure small; 0: none.")
@click.option("--lines", default=80, show_default=True, help="Lines of a failure's story; 0: all.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where failures are written: script, story, diagram.")
@click.option("--replay", type=click.Path(path_type=Path, exists=True), help="A script of --folder, to be run again.")
@click.option(
    "--sieve", "scenario", type=click.Choice(["all", *SCENARIOS]), help="Sieve's three perturbations instead."
)
@click.option("--quiet", is_flag=True, help="No line for a good storm.")
def storm(scenario: str | None, replay: Path | None, quiet: bool, **options: Any) -> None:
    """Everything of the driver together on virtual time, with faults of every kind, from one seed."""
    told = _Told(options["shrink"], options["lines"], options["folder"])
    if scenario is not None:
        _sieve(scenario)
        return
    if replay is not None:
        outcome = play(_read(replay))
        _line(outcome)
        _end([outcome] if outcome.broken else [], told)
        return
    _end(_storms(options["seed"], options["steps"], options["each"], quiet=quiet), told)


def _storms(seed: int, steps: int, each: int, *, quiet: bool) -> list[Outcome]:
    failed, done, seconds = [], 0, 0.0
    while done < steps:
        outcome = play(Plan(seed, min(each, steps - done)))
        if outcome.broken or not quiet:
            _line(outcome)
        failed += [outcome] if outcome.broken else []
        seed, done, seconds = seed + 1, done + max(1, outcome.steps), seconds + outcome.seconds
    click.echo(f"{done} steps in {seconds:.1f} s: {done / seconds:.0f} steps a second; {len(failed)} failures")
    return failed


def _line(outcome: Outcome) -> None:
    cliques = ",".join(str(clique) for clique in outcome.shape.cliques)
    verdict = f"✗ {outcome.broken}" if outcome.broken else "✓"
    click.echo(
        f"seed {outcome.plan.seed}  nodes {cliques}  {outcome.steps} steps  {counted(outcome)}"
        f"  trace {outcome.fingerprint}  {verdict}"
    )


def _end(failed: list[Outcome], told: _Told) -> None:
    """The first failure is told in full."""
    if not failed:
        return
    outcome = failed[0]
    small = outcome
    if told.shrink:
        click.echo(f"making it smaller: {counted(outcome)} at first")
        small = Shrinker(outcome.broken, told.shrink, lambda line: click.echo(f"  {line}")).shrink(outcome)
        click.echo(f"{counted(small)} are enough")
    for line in story(small.trace.lines, told.lines):
        click.echo(line)
    if told.folder is not None:
        _write(small, told.folder)
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


def _sieve(scenario: str) -> None:
    wrong = []
    for name in SCENARIOS if scenario == "all" else [scenario]:
        found = sieve(name)
        click.echo(found.summary)
        for place in found.wrong:
            click.echo(f"  ✗ {place}")
        wrong += found.wrong
    if wrong:
        raise NvdraError(f"{len(wrong)} disturbed runs ended otherwise than the undisturbed one")
