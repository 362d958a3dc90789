"""What was asked of the server, by whom: counts that can be compared before and after."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen


@frozen
class Request:
    """One sort of request: user-agent product, verb, resource and answer."""

    agent: str
    verb: str
    resource: str
    code: int


@frozen
class Counts:
    """Counters at one moment, or the difference of two."""

    requests: Mapping[Request, int] = field(factory=dict)
    watched: Mapping[str, int] = field(factory=dict)

    def __sub__(self, before: "Counts") -> "Counts":
        """What came since."""
        return Counts(_less(self.requests, before.requests), _less(self.watched, before.watched))

    def total(self, *, agent: str = "", verb: str = "", resource: str = "", code: int = 0) -> int:
        """How many requests fit; an empty argument fits all. `agent` is a part of the product's name."""
        return sum(
            number
            for request, number in self.requests.items()
            if agent in request.agent
            and verb in ("", request.verb)
            and resource in ("", request.resource)
            and code in (0, request.code)
        )

    def json(self) -> dict[str, Any]:
        """For /sim/counters."""
        order = sorted(self.requests, key=lambda r: (r.agent, r.verb, r.resource, r.code))
        rows = [
            {"agent": r.agent, "verb": r.verb, "resource": r.resource, "code": r.code, "count": self.requests[r]}
            for r in order
        ]
        return {"requests": rows, "watchedBytes": dict(sorted(self.watched.items()))}


def _less(after: Mapping[Any, int], before: Mapping[Any, int]) -> dict[Any, int]:
    return {key: number - before.get(key, 0) for key, number in after.items() if number != before.get(key, 0)}


@define(eq=False)
class Counters:
    """The running counts of one server."""

    _requests: Counter[Request] = field(init=False, factory=Counter)
    _watched: Counter[str] = field(init=False, factory=Counter)

    def count(self, agent: str, verb: str, resource: str, code: int) -> None:
        """One request was answered. `agent` is a whole User-Agent header or a bare product."""
        self._requests[Request(product(agent), verb, resource, code)] += 1

    def count_watched(self, agent: str, size: int) -> None:
        """So many bytes went to a watcher."""
        self._watched[product(agent)] += size

    def snapshot(self) -> Counts:
        """The counts so far; subtract an earlier snapshot to see what came between."""
        return Counts(dict(self._requests), dict(self._watched))

    def reset(self) -> None:
        """Start at zero again."""
        self._requests.clear()
        self._watched.clear()


def product(agent: str) -> str:
    """The first product of a User-Agent without its version: `kubectl/v1.37 (linux)` is kubectl."""
    return agent.split(" ", 1)[0].split("/", 1)[0] or "unknown"
