"""What the engine needs of a domain: its rules, its facts, its snapshot, its handlers and its report."""

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from attrs import field, frozen

from nvdra.core.findings import Facts, Finding
from nvdra.core.laws import closed
from nvdra.core.machine import Interpreter
from nvdra.core.table import Leaf
from nvdra.core.waits import reasons
from nvdra.engine.queue import Key
from nvdra.engine.store import Store
from nvdra.errors import NvdraError, StatechartError

S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)


class Thing(Protocol[S_contra]):
    """A handler. Both verbs compare, act, and stop; both are safe to repeat and safe on stale sight."""

    async def present(self, seen: S_contra) -> None:
        """Make it be there."""
        ...

    async def absent(self, seen: S_contra) -> None:
        """Make it be gone."""
        ...


@frozen
class Told:
    """The outcome of one look at a key: what a report, an error text or `explain` is made from."""

    key: Key
    leaf: Leaf
    findings: Mapping[str, Finding] = field(factory=dict)
    waits: tuple[str, ...] = ()
    troubles: Mapping[str, NvdraError] = field(factory=dict)
    since: float = 0.0

    @property
    def word(self) -> str:
        """The report of the state."""
        return self.leaf.report

    @property
    def waiting_for(self) -> str:
        """What keeps it from moving on, in one line; "" when nothing does."""
        return reasons(self.waits, self.findings)

    @property
    def explanation(self) -> str:
        """Why it is not further, in one line: what could not be done, what is waited for, or what is going on."""
        troubles = "; ".join(dict.fromkeys(str(error) for error in self.troubles.values()))
        return troubles or self.waiting_for or self.leaf.about

    def holds(self, fact: str) -> bool:
        """Whether a fact held."""
        return self.findings[fact].holds

    def because(self, fact: str) -> str:
        """Why a fact held or not."""
        return self.findings[fact].because


class Reporter(Protocol[S_contra]):
    """Writes the state into the world. The only writer of what it writes."""

    async def report(self, seen: S_contra, told: Told) -> None:
        """Make the world show it."""
        ...


class Silent:
    """A report to nobody."""

    async def report(self, seen: object, told: Told) -> None:
        """Say nothing."""


@frozen(eq=False)
class Domain(Generic[S]):
    """One statechart bound to its Python.

    `resync`: seconds until an undisturbed key is looked at again. `title`: what people call the object, for log lines.
    `rest`: seconds that it is left alone after a look, so that a look at thousands of things serves hundreds of events.
    """

    name: str
    interpreter: Interpreter
    facts: Facts[S]
    things: Mapping[str, Thing[S]]
    observe: Callable[[Store, Key, float], S]
    reporter: Reporter[S] = field(factory=Silent)
    title: Callable[[S], str] = lambda _: ""
    resync: float = 600.0
    rest: Callable[[S], float] = lambda _: 0.0
    backoff_limit: float = 30.0
    announce: Callable[[S, str, str], None] = lambda _seen, _reason, _message: None

    def __attrs_post_init__(self) -> None:
        """Law *closed*, the outer half: facts and things on both sides are the same."""
        faults = closed(self.interpreter.table, self.facts.by_name, self.things)
        sentences = self.interpreter.table.statechart.facts
        wrong = [f"{fault.law}: {fault.sentence}" for fault in faults]
        wrong += [
            f"closed: fact {name!r} means {fact.sentence!r} in Python and {sentences[name]!r} in YAML"
            for name, fact in self.facts.by_name.items()
            if name in sentences and fact.sentence != sentences[name]
        ]
        if wrong:
            raise StatechartError("\n".join([f"{self.name}: cannot be bound to its domain", *wrong]))
