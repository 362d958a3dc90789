"""What a leaf waits for: the facts that its ways forward still lack, each with its reason."""

from collections.abc import Mapping

from nvdra.core.findings import Finding
from nvdra.core.guards import Term
from nvdra.core.table import Leaf


def waits_for(leaf: Leaf, findings: Mapping[str, Finding]) -> tuple[str, ...]:
    """The names of facts that keep one from moving on, from the way forward that lacks least.

    A fact that gives no reason is nothing that one waits for: a way that lacks such a fact is not the answer.
    """
    facts = frozenset(name for name, finding in findings.items() if finding.holds)
    ways = [_lacking(term, facts) for edge in leaf.edges if edge.kind == "progress" for term in edge.guard.terms]
    return min(ways, key=lambda way: (sum(not findings[name].because for name in way), len(way)), default=())


def reasons(names: tuple[str, ...], findings: Mapping[str, Finding]) -> str:
    """The reasons of those facts in one line; what one of them says already, another need not say."""
    said = dict.fromkeys(findings[name].because or name.replace("_", " ") for name in names)
    return "; ".join(text for text in said if not any(text in other for other in said if other != text))


def _lacking(term: Term, facts: frozenset[str]) -> tuple[str, ...]:
    return (*sorted(term.needs - facts), *sorted(term.bars & facts))
