"""A state put into words: the same phrases for outline, page and diagram."""

from collections.abc import Iterator

from nvdra.core.statechart import State, Statechart
from nvdra.errors import ConfigError


def duration(seconds: float) -> str:
    """As it is written in the file: 90s, 5m, 1h."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.0f}s"


def condition(state: State) -> str:
    """When one may be here."""
    if state.preempts and state.while_:
        return f"from anywhere as soon as {state.preempts.text}, while {state.while_.text}"
    if state.preempts:
        return f"from anywhere as soon as {state.preempts.text}"
    return f"while {state.while_.text}" if state.while_ else ""


def orders(state: State) -> tuple[str, ...]:
    """What the state itself keeps, without what it inherits."""
    present = f"keep {', '.join(state.present)} present" if state.present else ""
    absent = f"keep {', '.join(state.absent)} absent" if state.absent else ""
    return tuple(phrase for phrase in (present, absent) if phrase)


def doings(state: State) -> tuple[str, ...]:
    """All that stands while one is in it: orders, report, announcements, the end."""
    return (
        *orders(state),
        *((f"report {state.report}",) if state.report else ()),
        *((f"announce {state.announce}",) if state.announce else ()),
        *(f"after {duration(seconds)} announce {reason}" for seconds, reason in state.after.items()),
        *(("here it ends: forget it",) if state.final else ()),
    )


def ways_out(state: State) -> tuple[str, ...]:
    """The lines of `next:`."""
    return tuple(f"when {step.when.text}, go to {step.to}" for step in state.next)


def sentences(state: State) -> Iterator[str]:
    """The state, sentence by sentence, without its name and its `about`."""
    if condition(state):
        yield _sentence(condition(state))
    if doings(state):
        yield _sentence("; ".join(doings(state)))
    if state.states:
        yield f"Begin in {state.initial}."
    yield from map(_sentence, ways_out(state))


def place(chart: Statechart, name: str) -> tuple[State, ...]:
    """A state with its ancestors, by `Outer.Inner` or a bare name. Raises ConfigError, which names those there are."""
    try:
        return chart.chain(name)
    except KeyError:
        there = ", ".join(".".join(s.name for s in chain) for chain in chart.leaves())
        raise ConfigError(f"{chart.name} has no state {name!r}; there are {there}") from None


def _sentence(phrase: str) -> str:
    return f"{phrase[0].upper()}{phrase[1:]}."
