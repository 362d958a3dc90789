"""Holding a write back while a burst goes on: eighteen nodes that join at once are one write, not eighteen."""

from collections.abc import Hashable

from attrs import define, field, frozen

from nvdra.errors import Later


@frozen
class Pace:
    """Write after `quiet` seconds without a change, at the latest `limit` seconds after the first."""

    quiet: float = 0.15
    limit: float = 0.6


AT_ONCE = Pace(0, 0)


@define
class _Held:
    wanted: Hashable
    first: float
    changed: float


@define(eq=False)
class Burst:
    """One memory for many objects. Losing it costs a write, never correctness."""

    _held: dict[str, _Held] = field(factory=dict)

    def hold(self, path: str, wanted: Hashable, now: float, pace: Pace) -> None:
        """Raises Later while the write of `wanted` should wait; returns when it is due."""
        held = self._held.get(path)
        if held is None:
            held = self._held[path] = _Held(wanted, now, now)
        elif held.wanted != wanted:
            held.wanted, held.changed = wanted, now
        due = min(held.changed + pace.quiet, held.first + pace.limit)
        if now < due:
            raise Later("a burst goes on", after=due - now)

    def written(self, path: str) -> None:
        """The write went out, or is not needed any more."""
        self._held.pop(path, None)
