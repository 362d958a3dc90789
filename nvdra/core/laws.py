"""The laws that every statechart keeps, checked over every set of facts.

settles · recomputable · reachable · alive · coherent · closed: docs/semantics.md says each in a sentence.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import combinations

from attrs import frozen

from nvdra.core.machine import Interpreter
from nvdra.core.table import Edge, Table


@frozen
class Fault:
    """One broken law: which, a sentence, and the place in the file."""

    law: str
    sentence: str
    at: tuple[str | int, ...] = ()


def check(table: Table, facts: Collection[str] | None = None, things: Collection[str] | None = None) -> list[Fault]:
    """Every broken law. `facts` and `things`: what a domain implements, for the outer half of *closed*."""
    faults = [*_closed(table), *_coherent(table)]
    if facts is not None:
        faults += closed(table, facts, things or ())
    if any(fault.law == "closed" and "undeclared" in fault.sentence for fault in faults):
        return faults  # the rest quantifies over declared facts only
    return faults + _exhaustive(table)


def worlds(names: Iterable[str]) -> Iterator[frozenset[str]]:
    """Every set of facts, smallest first, so that the first counterexample is the shortest."""
    ordered = sorted(names)
    for size in range(len(ordered) + 1):
        yield from map(frozenset, combinations(ordered, size))


def _exhaustive(table: Table) -> list[Fault]:
    interpreter = Interpreter(table)
    homes: set[str] = set()
    taken: set[Edge] = set()
    faults: dict[tuple[str, str], Fault] = {}
    for facts in worlds(table.statechart.facts):
        home = interpreter.settle(None, facts).leaf
        homes.add(home.name)
        for state, leaf in table.leaves.items():
            taken.update(_first(leaf.edges, facts))
            fault = _unsettled(table.initial, home.name, state, facts, interpreter)
            if fault:
                faults.setdefault((fault.law, state), fault)  # the first counterexample is the shortest
    return [*faults.values(), *_unreachable(table, homes), *_dead(table, taken)]


def _unsettled(initial: str, home: str, state: str, facts: frozenset[str], interpreter: Interpreter) -> Fault | None:
    step = interpreter.settle(state, facts)
    if any(_first(step.leaf.edges, facts)):
        return Fault("settles", f"with {_words(facts)}, {state} circles: {_trail(state, step.path)}", _place(state))
    if step.leaf.name != home:
        ends = f"{state} settles in {step.leaf.name} but {initial} in {home}"
        return Fault("recomputable", f"with {_words(facts)}, {ends}", _place(state))
    return None


def _unreachable(table: Table, homes: Collection[str]) -> list[Fault]:
    lost = [state for state in table.leaves if state not in homes]
    return [Fault("reachable", f"no set of facts makes {state} the home", _place(state)) for state in lost]


def _dead(table: Table, taken: Collection[Edge]) -> list[Fault]:
    return [
        Fault("alive", f"{e.source} never goes to {e.target}: {e.because!r} is never the first to hold", e.at)
        for leaf in table.leaves.values()
        for e in leaf.edges
        if e not in taken
    ]


def _first(edges: Iterable[Edge], facts: frozenset[str]) -> tuple[Edge, ...]:
    return next(((edge,) for edge in edges if edge.guard.holds(facts)), ())


def _coherent(table: Table) -> list[Fault]:
    faults = []
    for leaf in table.leaves.values():
        both = {o.thing for o in leaf.orders if o.verb == "present"} & {
            o.thing for o in leaf.orders if o.verb == "absent"
        }
        faults += [
            Fault("coherent", f"{leaf.name} keeps {thing} both present and absent", _place(leaf.name))
            for thing in sorted(both)
        ]
    return faults


def _closed(table: Table) -> list[Fault]:
    declared = set(table.statechart.facts)
    used: set[str] = set()
    faults = []
    for leaf in table.leaves.values():
        for edge in leaf.edges:
            used |= edge.guard.names
            faults += [
                Fault("closed", f"undeclared fact {name!r} in {edge.guard.text!r}", edge.at)
                for name in sorted(edge.guard.names - declared)
            ]
    idle = sorted(declared - used)
    faults += [Fault("closed", f"fact {name!r} is declared and never used", ("facts", name)) for name in idle]
    return list(dict.fromkeys(faults))


def closed(table: Table, facts: Collection[str], things: Collection[str]) -> list[Fault]:
    """The outer half of *closed*: statechart and domain speak of the same facts and things. Cheap, unlike check()."""
    declared = set(table.statechart.facts)
    ordered = {order.thing for leaf in table.leaves.values() for order in leaf.orders}
    untold, undeclared = sorted(declared - set(facts)), sorted(set(facts) - declared)
    unhandled, idle = sorted(ordered - set(things)), sorted(set(things) - ordered)
    return [
        *(Fault("closed", f"fact {name!r} is declared but no function tells it", ("facts", name)) for name in untold),
        *(Fault("closed", f"fact {name!r} is told but not declared") for name in undeclared),
        *(Fault("closed", f"thing {name!r} has no handler") for name in unhandled),
        *(Fault("closed", f"thing {name!r} has a handler but is never ordered") for name in idle),
    ]


def _place(state: str) -> tuple[str, ...]:
    return tuple(part for name in state.split(".") for part in ("states", name))


def _words(facts: frozenset[str]) -> str:
    return f"[{', '.join(sorted(facts))}]"


def _trail(state: str, path: Iterable[Edge]) -> str:
    return " → ".join([state, *(edge.target for edge in path)])
