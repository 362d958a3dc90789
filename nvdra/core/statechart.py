"""The statechart as written: a frozen tree. What the words mean is in table.py and docs/semantics.md."""

from collections.abc import Iterator, Mapping

from attrs import field, frozen

from nvdra.core.guards import Guard

MAX_FACTS = 14
"""The laws are checked over all 2**n sets of facts; beyond this a statechart is two statecharts."""
MAX_DEPTH = 2


@frozen
class Next:
    """One line of `next:`: when the guard holds, go to the state of that name."""

    when: Guard
    to: str


@frozen
class State:
    """A named place. One without states inside is a leaf; an object is always in exactly one leaf."""

    name: str
    about: str = ""
    while_: Guard | None = None
    preempts: Guard | None = None
    next: tuple[Next, ...] = ()
    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    report: str = ""
    announce: str = ""
    after: Mapping[float, str] = field(factory=dict)
    final: bool = False
    initial: str = ""
    states: Mapping[str, "State"] = field(factory=dict)


@frozen
class Statechart:
    """One file: facts, states, and where one begins."""

    name: str
    about: str
    facts: Mapping[str, str]
    initial: str
    states: Mapping[str, State]

    def leaves(self) -> Iterator[tuple[State, ...]]:
        """Every leaf with its ancestors, outermost first, in document order."""
        for chain in _chains((), self.states):
            if not chain[-1].states:
                yield chain

    def chain(self, name: str) -> tuple[State, ...]:
        """A state and its ancestors, by `Outer.Inner` or by a bare name that is unique. Raises KeyError."""
        found = [c for c in _chains((), self.states) if dotted(c) == name or c[-1].name == name]
        exact = [c for c in found if dotted(c) == name]
        if len(exact or found) != 1:
            raise KeyError(name)
        return (exact or found)[0]


def dotted(chain: tuple[State, ...]) -> str:
    """`Outer.Inner`."""
    return ".".join(state.name for state in chain)


def _chains(above: tuple[State, ...], states: Mapping[str, State]) -> Iterator[tuple[State, ...]]:
    for state in states.values():
        chain = (*above, state)
        yield chain
        yield from _chains(chain, state.states)
