"""A statechart's object told: the controller's own facts and rules, over what could be read. Pure."""

from collections.abc import Collection, Mapping
from typing import Any, Final, TypeVar

from attrs import evolve, frozen

from nvdra.api import kinds
from nvdra.core.findings import Facts, Finding, holding
from nvdra.core.machine import Interpreter
from nvdra.core.table import Leaf
from nvdra.core.waits import waits_for
from nvdra.explain.account import FactTold, LifeTold

S = TypeVar("S")

RESTS_ON: Final[Mapping[str, Mapping[str, Collection[str]]]] = {
    "compute-domain": {
        "deleting": (),
        "finalized": (),
        "templated": (kinds.CLAIM_TEMPLATES.kind,),
        "daemonised": (kinds.CLAIM_TEMPLATES.kind, kinds.DAEMON_SETS.kind),
        "formed": (kinds.NODES.kind, kinds.PODS.kind),
        "all_ready": (kinds.NODES.kind, kinds.PODS.kind),
        "degraded": (kinds.NODES.kind, kinds.PODS.kind),
        "drained": (
            kinds.CLAIM_TEMPLATES.kind,
            kinds.DAEMON_SETS.kind,
            kinds.NETWORK_POLICIES.kind,
            kinds.NODES.kind,
            kinds.ROSTERS.kind,
        ),
    },
    "imex-domain": {
        "deleting": (),
        "drained": (kinds.NODES.kind,),
        "listed": (kinds.NODES.kind, kinds.PODS.kind, kinds.ROSTERS.kind),
        "ready": (kinds.NODES.kind, kinds.PODS.kind),
        "formed": (kinds.NODES.kind,),
        "published": (kinds.ROSTERS.kind,),
    },
}
"""The kinds of objects that each fact is read from, beside the ComputeDomain itself."""


@frozen
class Rules:
    """One statechart with its facts, and the kinds that could not be read."""

    interpreter: Interpreter
    facts: Facts[Any]
    unread: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The statechart's."""
        return self.interpreter.table.statechart.name

    def life_of(self, seen: object, subject: str, stated: str = "") -> LifeTold:
        """Where the facts lead from the very beginning; where some are not known, the state that is `stated`."""
        findings = self.facts.findings(seen)
        facts = tuple(self._fact(name, found) for name, found in findings.items())
        if any(fact.holds is None for fact in facts):
            return self._stated(subject, stated, facts)
        step = self.interpreter.settle(None, holding(findings))
        path = [self.interpreter.table.initial, *(f"{edge.target} ({edge.because})" for edge in step.path)]
        told = _of_leaf(self.name, subject, step.leaf)
        waits = tuple(f"{name}: {_reason(name, findings)}" for name in waits_for(step.leaf, findings))
        return evolve(told, facts=facts, path=tuple(path), waits=waits)

    def _stated(self, subject: str, stated: str, facts: tuple[FactTold, ...]) -> LifeTold:
        leaves = self.interpreter.table.leaves.values()
        leaf = next((leaf for leaf in leaves if leaf.name.rpartition(".")[2] == stated), None)
        if leaf is None:
            return LifeTold(self.name, subject, "not known", "some of its facts could not be read", "", facts)
        return evolve(_of_leaf(self.name, subject, leaf), facts=facts)

    def _fact(self, name: str, found: Finding) -> FactTold:
        sentence = self.facts.by_name[name].sentence
        lacking = sorted(self.unread.intersection(RESTS_ON[self.name][name]))
        if lacking:
            return FactTold(name, None, sentence, f"not known: {' and '.join(lacking)} objects could not be read")
        return FactTold(name, found.holds, sentence, found.because, found.source)


def _of_leaf(statechart: str, subject: str, leaf: Leaf) -> LifeTold:
    orders = tuple(str(order) for order in leaf.orders)
    return LifeTold(statechart, subject, leaf.name, leaf.about, leaf.report, orders=orders)


def _reason(name: str, findings: Mapping[str, Finding]) -> str:
    return findings[name].because or name.replace("_", " ")
