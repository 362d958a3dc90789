"""What a statechart means, in a few lines that share nothing with nvdra.core; and random statecharts to compare on."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from nvdra.core import guards
from nvdra.core.statechart import Next, State, Statechart

FACTS = ("a", "b", "c", "d")
Chain = tuple[State, ...]


def true(guard: guards.Guard | None, facts: frozenset[str]) -> bool:
    """Python's own opinion of the sentence."""
    assert guard is not None
    return bool(eval(guard.text, {}, {name: name in facts for name in guard.names}))


def reference(chart: Statechart, here: Chain, facts: frozenset[str]) -> Chain:
    """The semantics: preempt, retreat, progress, the outermost first, until nothing holds (or one has been everywhere)."""
    for _ in chart.leaves():
        there = one_step(chart, here, facts)
        if there is None:
            break
        here = there
    return here


def one_step(chart: Statechart, here: Chain, facts: frozenset[str]) -> Chain | None:
    outer = [state for state in chart.states.values() if state.preempts]
    for state in outer[: outer.index(here[0])] if here[0] in outer else outer:
        if true(state.preempts, facts):
            return entered((state,))
    if here[0].preempts and not true(here[0].preempts, facts):
        return begin(chart, ())
    for depth, state in enumerate(here):
        if state.while_ and not true(state.while_, facts):
            return begin(chart, here[:depth])
    steps = ((here[:depth], step) for depth, state in enumerate(here) for step in state.next)
    return next((named(chart, within, step.to) for within, step in steps if true(step.when, facts)), None)


def begin(chart: Statechart, within: Chain) -> Chain:
    inside, initial = (within[-1].states, within[-1].initial) if within else (chart.states, chart.initial)
    return entered((*within, inside[initial]))


def entered(chain: Chain) -> Chain:
    while chain[-1].states:
        chain = (*chain, chain[-1].states[chain[-1].initial])
    return chain


def named(chart: Statechart, within: Chain, name: str) -> Chain:
    """A sibling, a path, an outermost state, or the only state of that name."""
    siblings: Mapping[str, State] = within[-1].states if within else chart.states
    if name in siblings:
        return entered((*within, siblings[name]))
    outer, _, inner = name.partition(".")
    if inner:
        return entered((chart.states[outer], chart.states[outer].states[inner]))
    if name in chart.states:
        return entered((chart.states[name],))
    (found,) = [(state, state.states[name]) for state in chart.states.values() if name in state.states]
    return entered(found)


# Random statecharts, valid by construction.

sentences = st.recursive(
    st.sampled_from(FACTS),
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda three: f"({three[0]}) {three[1]} ({three[2]})"
        ),
    ),
    max_leaves=5,
)
all_guards = sentences.map(guards.parse)
fact_sets = st.frozensets(st.sampled_from(FACTS))


@st.composite
def statecharts(draw: Any) -> Statechart:
    shape = {
        outer: draw(st.lists(st.sampled_from(["X", "Y", "Z"]), unique=True, max_size=3))
        for outer in ["P", "Q", "R", "S"][: draw(st.integers(1, 4))]
    }
    initial = draw(st.sampled_from(sorted(shape)))
    states = {
        outer: _state(draw, outer, shape, (), inner, may_preempt=outer != initial) for outer, inner in shape.items()
    }
    return Statechart("random", "", dict.fromkeys(FACTS, "."), initial, states)


def _state(draw: Any, name: str, shape: dict, within: tuple[str, ...], inner: list[str], *, may_preempt: bool) -> State:
    maybe = st.none() | all_guards
    return State(
        name=name,
        while_=draw(maybe),
        preempts=draw(maybe) if may_preempt else None,
        next=tuple(draw(st.lists(st.builds(Next, all_guards, st.sampled_from(_targets(shape, within))), max_size=3))),
        present=tuple(draw(st.lists(st.sampled_from(["thing", "other"]), unique=True, max_size=2))),
        report=draw(st.sampled_from(["", "Good", "Bad"])),
        initial=draw(st.sampled_from(inner)) if inner else "",
        states={child: _state(draw, child, shape, (name,), [], may_preempt=False) for child in inner},
    )


def _targets(shape: dict[str, list[str]], within: tuple[str, ...]) -> list[str]:
    """Every way to name a state from here that means exactly one."""
    inner = [child for children in shape.values() for child in children]
    siblings = shape[within[0]] if within else []
    bare = {child for child in inner if inner.count(child) == 1 or child in siblings}
    dotted = {f"{outer}.{child}" for outer, children in shape.items() for child in children}
    return sorted({*shape, *bare, *dotted})
