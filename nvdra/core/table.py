"""The tree compiled flat: leaves with ordered edges, inherited orders and reports. Nesting costs nothing later."""

from collections.abc import Mapping
from typing import Literal

from attrs import field, frozen

from nvdra.core.guards import Guard, negated
from nvdra.core.orders import Order
from nvdra.core.statechart import State, Statechart, dotted


@frozen
class Edge:
    """One way out of a leaf. Edges are tried in order; the first whose guard holds is taken."""

    source: str
    target: str
    guard: Guard
    kind: Literal["preempt", "retreat", "progress"]
    at: tuple[str | int, ...] = ()

    @property
    def because(self) -> str:
        """The sentence that was true."""
        return self.guard.text


@frozen
class Leaf:
    """What an object is in: ways out, and what stands while one is here."""

    name: str
    about: str
    edges: tuple[Edge, ...] = ()
    orders: tuple[Order, ...] = ()
    report: str = ""
    announce: str = ""
    after: Mapping[float, str] = field(factory=dict)
    final: bool = False


@frozen
class Table:
    """All leaves of a statechart by their dotted names, and the one where everything begins."""

    statechart: Statechart
    initial: str
    leaves: Mapping[str, Leaf]


def compile_table(chart: Statechart) -> Table:
    """Flatten a checked statechart."""
    leaves = {dotted(chain): _leaf(chart, chain) for chain in chart.leaves()}
    return Table(chart, _entered(chart, chart.initial), leaves)


def _leaf(chart: Statechart, chain: tuple[State, ...]) -> Leaf:
    leaf = chain[-1]
    return Leaf(
        name=dotted(chain),
        about=leaf.about,
        edges=(*_preemptions(chart, chain), *_retreats(chart, chain), *_progress(chart, chain)),
        orders=_orders(chain),
        report=next((state.report for state in reversed(chain) if state.report), ""),
        announce=leaf.announce,
        after=leaf.after,
        final=leaf.final,
    )


def _preemptions(chart: Statechart, chain: tuple[State, ...]) -> list[Edge]:
    """Into the preempting states written before ours; ours is left again when its reason is gone."""
    edges = []
    for state in chart.states.values():
        if state.preempts is None:
            continue
        at = ("states", state.name, "preempts")
        if state is chain[0]:
            home = _entered(chart, chart.initial)
            edges.append(Edge(dotted(chain), home, negated(state.preempts), "retreat", at))
            break
        edges.append(Edge(dotted(chain), _entered(chart, state.name), state.preempts, "preempt", at))
    return edges


def _retreats(chart: Statechart, chain: tuple[State, ...]) -> list[Edge]:
    """A broken `while:` leads back to where the enclosing state begins, outermost first."""
    edges = []
    for depth, state in enumerate(chain):
        if state.while_ is not None:
            begin = chart.initial if depth == 0 else f"{dotted(chain[:depth])}.{chain[depth - 1].initial}"
            at = (*_address(chain[: depth + 1]), "while")
            edges.append(Edge(dotted(chain), _entered(chart, begin), negated(state.while_), "retreat", at))
    return edges


def _progress(chart: Statechart, chain: tuple[State, ...]) -> list[Edge]:
    edges = []
    for depth, state in enumerate(chain):
        for number, step in enumerate(state.next):
            target = _entered(chart, _resolved(chart, chain[:depth], step.to))
            at: tuple[str | int, ...] = (*_address(chain[: depth + 1]), "next", number)
            edges.append(Edge(dotted(chain), target, step.when, "progress", at))
    return edges


def _resolved(chart: Statechart, siblings_of: tuple[State, ...], name: str) -> str:
    """A bare name means a sibling if there is one, else the state of that name anywhere."""
    near = ".".join([*(state.name for state in siblings_of), name])
    try:
        return dotted(chart.chain(near))
    except KeyError:
        return dotted(chart.chain(name))


def _entered(chart: Statechart, name: str) -> str:
    """The leaf where one ends up on entering a state."""
    chain = chart.chain(name)
    while chain[-1].states:
        chain = (*chain, chain[-1].states[chain[-1].initial])
    return dotted(chain)


def _orders(chain: tuple[State, ...]) -> tuple[Order, ...]:
    orders: dict[Order, None] = {}
    for state in chain:
        orders |= dict.fromkeys(Order("present", thing) for thing in state.present)
        orders |= dict.fromkeys(Order("absent", thing) for thing in state.absent)
    return tuple(orders)


def _address(chain: tuple[State, ...]) -> tuple[str, ...]:
    return tuple(part for state in chain for part in ("states", state.name))
