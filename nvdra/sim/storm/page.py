"""What storms and Sieve's runs came to, in docs/storm.md between marks, with day and machine."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from nvdra.errors import ConfigError
from nvdra.sim.scale.proc import load, machine
from nvdra.sim.storm.sieve import Sieved

END = "<!-- end of generated -->"


@frozen
class Blown:
    """All storms of one command."""

    first: int
    seeds: int
    steps: int
    seconds: float
    failures: int

    @property
    def summary(self) -> str:
        """In one line."""
        rate = self.steps / self.seconds
        return f"{self.steps} steps in {self.seconds:.1f} s: {rate:.0f} steps a second; {self.failures} failures"


def tell_storms(page: Path, blown: Blown) -> None:
    """Into the page's part of `nvdra sim storm`."""
    seeds = f"{blown.first} to {blown.first + blown.seeds - 1}"
    rate = f"{blown.steps / blown.seconds:,.0f}"
    row = f"| {seeds} | {blown.steps:,} | {blown.failures} | {blown.seconds:,.0f} | {rate} |"
    head = "| seeds | steps | failures | seconds | steps a second |"
    _put(page, "nvdra sim storm --doc", [head, "| --- | ---: | ---: | ---: | ---: |", row])


def tell_sieve(page: Path, found: Sequence[Sieved]) -> None:
    """Into the page's part of `nvdra sim sieve`."""
    rows = [
        f"| {one.scenario} | {one.places:,} | {one.runs:,} | {len(one.wrong)} | {sum(one.more.values())} |"
        for one in found
    ]
    places, runs = sum(one.places for one in found), sum(one.runs for one in found)
    wrong, again = sum(len(one.wrong) for one in found), sum(sum(one.more.values()) for one in found)
    head = "| scenario | places | disturbed runs | ended otherwise | created an object again |"
    total = f"| together | {places:,} | {runs:,} | {wrong} | {again} |"
    _put(page, "nvdra sim sieve --doc", [head, "| --- | ---: | ---: | ---: | ---: |", *rows, total])


def _put(page: Path, mark: str, lines: Sequence[str]) -> None:
    begin, text = f"<!-- generated: {mark} -->\n", page.read_text(encoding="utf-8")
    before, found, after = text.partition(begin)
    if not found or END not in after:
        raise ConfigError(f"{page} has no place for this: {begin.strip()} and {END} must be in it")
    now = dt.datetime.now(dt.UTC)
    stamp = f"Measured {now:%Y-%m-%d %H:%M} UTC on {machine()}, load {load():.1f} at its end."
    rest = after[after.index(END) :]
    page.write_text(f"{before}{begin}{stamp}\n\n" + "\n".join(lines) + f"\n{rest}", encoding="utf-8")
