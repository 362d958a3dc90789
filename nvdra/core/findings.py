"""Facts: named statements that are true or false of a snapshot, each with its reason."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from attrs import field, frozen

S = TypeVar("S")


@frozen
class Finding:
    """Whether a fact holds, why (a clause that reads well after "waiting: "), and the object that said so."""

    holds: bool
    because: str = ""
    source: str = ""


@frozen
class Fact(Generic[S]):
    """One fact: its name, its sentence (equal to the YAML's), and how to tell from a snapshot."""

    name: str
    sentence: str
    of: Callable[[S], Finding]


@frozen
class Facts(Generic[S]):
    """The facts of one domain. `@facts.add` makes a function one of them."""

    by_name: dict[str, Fact[S]] = field(factory=dict)

    def add(self, function: Callable[[S], bool | Finding]) -> Callable[[S], bool | Finding]:
        """Register a function: its name is the fact's, its docstring the sentence."""

        def of(seen: S) -> Finding:
            said = function(seen)
            return said if isinstance(said, Finding) else Finding(said)

        sentence = " ".join((function.__doc__ or "").split())
        self.by_name[function.__name__] = Fact(function.__name__, sentence, of)
        return function

    def findings(self, seen: S) -> Mapping[str, Finding]:
        """Every fact of the snapshot, with its reason."""
        return {name: fact.of(seen) for name, fact in self.by_name.items()}


def holding(findings: Mapping[str, Finding]) -> frozenset[str]:
    """The names that hold: all that a settle may see."""
    return frozenset(name for name, finding in findings.items() if finding.holds)
