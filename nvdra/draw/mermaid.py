"""A statechart as a Mermaid state diagram, drawn from the tree: nesting and preemption are one arrow, not many."""

from collections.abc import Iterator

from nvdra.core.statechart import State, Statechart, dotted
from nvdra.draw.sentences import doings, place

ANYWHERE = "from_anywhere"
_HERE = "classDef here fill:#76b900,stroke:#3b5d00,color:#000000"


def diagram(chart: Statechart, at: str | None = None) -> str:
    """The text of a `stateDiagram-v2`; `at` is highlighted. Raises ConfigError for an unknown `at`."""
    here = place(chart, at) if at else ()
    return "\n".join(_lines(chart, here)) + "\n"


def _lines(chart: Statechart, here: tuple[State, ...]) -> Iterator[str]:
    yield "stateDiagram-v2"
    if here:
        yield f"    {_HERE}"
    preempting = [state for state in chart.states.values() if state.preempts]
    if preempting:
        yield f'    state "from anywhere" as {ANYWHERE}'
    yield f"    [*] --> {chart.initial}"
    for state in chart.states.values():
        yield from _state(chart, (state,), here)
    for state in preempting:
        assert state.preempts is not None
        yield f"    {ANYWHERE} --> {state.name} : {state.preempts.text}"
    yield from _arrows(chart, ())
    if here:
        yield f"    class {_id(here)} here"


def _state(chart: Statechart, chain: tuple[State, ...], here: tuple[State, ...]) -> Iterator[str]:
    state, indent = chain[-1], "    " * len(chain)
    mark = "▶ " if here and here[-1] is state else ""
    yield f'{indent}state "{mark}{state.name}" as {_id(chain)}'
    if state.states:
        yield from _inside(chart, chain, here)
    else:
        yield from (f"{indent}{_id(chain)} : {text}" for text in _texts(state))
    if state.final:
        yield f"{indent}{_id(chain)} --> [*]"


def _inside(chart: Statechart, chain: tuple[State, ...], here: tuple[State, ...]) -> Iterator[str]:
    state, indent = chain[-1], "    " * len(chain)
    yield f"{indent}state {_id(chain)} {{"
    yield f"{indent}    [*] --> {_id((*chain, state.states[state.initial]))}"
    for inner in state.states.values():
        yield from _state(chart, (*chain, inner), here)
    yield from _arrows(chart, chain)
    yield f"{indent}}}"
    texts = list(_texts(state))
    if texts:
        yield f"{indent}note right of {_id(chain)}"
        yield from (f"{indent}    {text}" for text in texts)
        yield f"{indent}end note"


def _texts(state: State) -> Iterator[str]:
    """What is written inside a state; `preempts` is an arrow already, but it is also what keeps one here."""
    guards = [guard.text for guard in (state.preempts, state.while_) if guard]
    yield from (f"while {text}" for text in guards)
    yield from (text.replace(": ", ", ") for text in doings(state))  # a colon would end the text


def _arrows(chart: Statechart, level: tuple[State, ...]) -> Iterator[str]:
    """The arrows of one level. One that leaves its enclosing state is drawn outside, or it would pull its target in."""
    indent = "    " * (len(level) + 1)
    for source, target, text in _progress(chart):
        inside = source[:-1] if source[:-1] == target[:-1] else ()
        if inside == level:
            yield f"{indent}{_id(source)} --> {_id(target)} : {text}"


def _progress(chart: Statechart) -> Iterator[tuple[tuple[State, ...], tuple[State, ...], str]]:
    for chain in _every(chart):
        for step in chain[-1].next:
            yield chain, _target(chart, chain, step.to), step.when.text


def _target(chart: Statechart, chain: tuple[State, ...], name: str) -> tuple[State, ...]:
    siblings = chain[-2].states if len(chain) > 1 else chart.states
    return (*chain[:-1], siblings[name]) if name in siblings else chart.chain(name)


def _every(chart: Statechart) -> Iterator[tuple[State, ...]]:
    for state in chart.states.values():
        yield (state,)
        yield from ((state, inner) for inner in state.states.values())


def _id(chain: tuple[State, ...]) -> str:
    return dotted(chain).replace(".", "_")
