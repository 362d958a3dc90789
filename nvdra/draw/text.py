"""A statechart as an outline that can be read aloud in a terminal."""

from collections.abc import Iterator, Mapping

from nvdra.core.statechart import State, Statechart
from nvdra.draw.sentences import place, sentences


def outline(chart: Statechart, at: str | None = None) -> str:
    """Every state as a sentence; `→` in front of where one is. Raises ConfigError for an unknown `at`."""
    here = place(chart, at) if at else ()
    return "\n".join(_lines(chart, here)) + "\n"


def _lines(chart: Statechart, here: tuple[State, ...]) -> Iterator[str]:
    yield f"{chart.name}: {chart.about}" if chart.about else chart.name
    yield f"It begins in {chart.initial}."
    yield from _states(chart.states, 1, here)


def _states(states: Mapping[str, State], depth: int, here: tuple[State, ...]) -> Iterator[str]:
    indent = "  " * depth
    for state in states.values():
        mark = "→ " if here and here[-1] is state else "  "
        yield ""
        yield f"{mark}{indent[2:]}{state.name}{f': {state.about}' if state.about else ''}"
        yield from (f"{indent}  {sentence}" for sentence in sentences(state))
        yield from _states(state.states, depth + 1, here)
