"""scale.json: what was measured, with which API server; a run takes the place of the same run before. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Json = Mapping[str, Any]
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "joins": ("nodes", "cliques", "arrive over, s"),
    "domains": ("domains",),
    "throttled": ("plugins", "requests taken a second, at most"),
}
"""Which figures say what was run, by part of the page; all others are what came of it."""


def merged(before: Sequence[Json], found: Json) -> list[Json]:
    """All that was measured, in order of size; every run keeps its own date and machine."""
    same = next((place for place in before if place["API server"] == found["API server"]), {})
    others = [place for place in before if place is not same]
    parts = {part: _runs(part, same.get(part, ()), found.get(part, ())) for part in KEYS}
    place = {"API server": found["API server"], **parts}
    return sorted([*others, place], key=lambda measured: str(measured["API server"]))


def _runs(part: str, before: Sequence[Json], found: Sequence[Json]) -> list[Json]:
    by_key = {key_of(part, run): run for run in (*before, *found)}
    return [by_key[key] for key in sorted(by_key)]


def key_of(part: str, run: Json) -> tuple[float, ...]:
    """What was run."""
    return tuple(float(run.get(name) or 0) for name in KEYS[part])
