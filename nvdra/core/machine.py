"""settle(): follow edges until none holds. A pure function on a transitions.Machine that never holds an object.

Why this way (measured): one shared Machine with its objects unregistered settles 250,000 a second at 0 bytes an
object; registering them is quadratic, and the other machine classes lose effects or a factor of three to fifteen.
"""

import logging
from typing import Any, cast

from attrs import define, frozen
from transitions import EventData, Machine, Transition

from nvdra.core.table import Edge, Leaf, Table

logging.getLogger("transitions").setLevel(logging.WARNING)  # at DEBUG one transition writes eleven records


@frozen
class Step:
    """The result of a settle: the leaf one is in, and the edges that led there."""

    leaf: Leaf
    path: tuple[Edge, ...] = ()


@define
class _Token:
    """What travels through the Machine: a throw-away, so that settle stays a function."""

    state: str
    facts: frozenset[str]
    path: tuple[Edge, ...] = ()


class _Move(Transition):
    """An edge as the Machine knows it."""

    def __init__(self, source: str, dest: str, *_: Any, edge: Edge, **__: Any) -> None:
        super().__init__(source, dest)
        self.edge = edge

    def execute(self, event_data: EventData) -> bool:
        token = cast("_Token", event_data.model)
        if not self.edge.guard.holds(token.facts):
            return False
        token.state, token.path = self.edge.target, (*token.path, self.edge)
        return True


class _Rules(Machine):
    transition_cls = _Move


class Interpreter:
    """One statechart, ready to settle any number of objects."""

    def __init__(self, table: Table) -> None:
        self.table = table
        edges = [edge for leaf in table.leaves.values() for edge in leaf.edges]
        self._rules = _Rules(
            model=None,
            states=list(table.leaves),
            initial=table.initial,
            auto_transitions=False,
            transitions=[
                {"trigger": "reconcile", "source": edge.source, "dest": edge.target, "edge": edge} for edge in edges
            ],
        )
        self._trigger = self._rules.events["reconcile"].trigger if edges else None
        self._moving = frozenset(leaf.name for leaf in table.leaves.values() if leaf.edges)
        self._resting = {name: Step(leaf) for name, leaf in table.leaves.items()}

    def settle(self, state: str | None, facts: frozenset[str]) -> Step:
        """Where these facts lead from `state` (None or unknown: from the beginning).

        Bounded by the number of leaves; a statechart that keeps the laws never reaches the bound.
        """
        token = _Token(state if state is not None and state in self._resting else self.table.initial, facts)
        for _ in self._resting:
            if self._trigger is None or token.state not in self._moving or not self._trigger(token):
                break
        resting = self._resting[token.state]
        return Step(resting.leaf, token.path) if token.path else resting
