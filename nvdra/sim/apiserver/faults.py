"""Faults to order: rules that say which requests suffer what, how often. Random only through the given Random."""

from collections.abc import Sequence
from random import Random
from typing import Literal

from attrs import define, field, frozen

from nvdra.sim.apiserver.status import StatusError, expired

Sort = Literal[
    "lose-before",
    "lose-after",
    "delay",
    "repeat",
    "conflict",
    "throttle",
    "forbidden",
    "error",
    "gone",
    "stale",
    "silence",
]


@define(eq=False)
class Rule:
    """One order. Empty matchers fit everything; `count` None: no end; `seconds` for delay, silence and Retry-After.

    `versions`: how many resourceVersions a stale list lags behind. Reads and writes: `verb` is get, list, watch,
    create, update, patch, apply, delete or deletecollection.
    """

    sort: Sort
    verb: str = ""
    resource: str = ""
    name: str = ""
    agent: str = ""
    count: int | None = None
    probability: float = 1.0
    seconds: float = 1.0
    versions: int = 10
    hits: int = field(init=False, default=0)

    def fits(self, call: "Call") -> bool:
        """Whether it is about this request, and not used up."""
        return (
            (self.count is None or self.hits < self.count)
            and self.verb in ("", call.verb)
            and self.resource in ("", call.resource)
            and self.name in ("", call.name)
            and self.agent in call.agent
        )


@frozen
class Call:
    """What of a request a rule can see."""

    verb: str
    resource: str
    name: str
    agent: str


@define(eq=False)
class Faults:
    """The orders in force. Requests ask it once each; watches ask once an event for `repeat`."""

    random: Random = field(factory=lambda: Random(0))
    rules: list[Rule] = field(factory=list)

    def order(self, rule: Rule) -> Rule:
        """Put a rule in force; its `hits` tell how often it struck."""
        self.rules.append(rule)
        return rule

    def cancel(self, rule: Rule | None = None) -> None:
        """Take one rule back, or all."""
        self.rules = [kept for kept in self.rules if rule is not None and kept is not rule]

    def struck(self, call: Call, sorts: Sequence[Sort]) -> Rule | None:
        """The first rule of these sorts that strikes this request."""
        for rule in self.rules:
            if rule.sort in sorts and rule.fits(call) and self.random.random() < rule.probability:
                rule.hits += 1
                return rule
        return None


def refusal(rule: Rule, call: Call) -> StatusError:
    """The answer that a rule orders."""
    match rule.sort:
        case "conflict":
            text = f'Operation cannot be fulfilled on {call.resource} "{call.name}": ordered fault'
            return StatusError(409, "Conflict", text)
        case "throttle":
            text = "the server has received too many requests and has asked us to try again later"
            return StatusError(429, "TooManyRequests", text, after=max(1, round(rule.seconds)))
        case "forbidden":
            text = (
                f'{call.resource} "{call.name}" is forbidden: User "{call.agent}" cannot {call.verb} it: ordered fault'
            )
            return StatusError(403, "Forbidden", text)
        case "gone":
            return expired("ordered fault", 0)
    return StatusError(500, "InternalError", "Internal error occurred: ordered fault")
