"""Where readers of pages go on: selecting anew for each page would make a long list cost its square."""

from collections.abc import Hashable, Sequence
from typing import Final

from attrs import define, field

from nvdra.sim.apiserver.collection import Entry

_MOST: Final = 16


@define(eq=False)
class Readers:
    """What is left of some lists. Losing one costs time, never correctness."""

    _left: dict[Hashable, list[Entry]] = field(init=False, factory=dict)

    def take(self, place: Hashable) -> list[Entry] | None:
        """What comes after that place; None when it is not remembered."""
        return self._left.pop(place, None)

    def leave(self, place: Hashable, rest: Sequence[Entry]) -> None:
        """Somebody may go on there; the oldest of many is forgotten."""
        self._left[place] = list(rest)
        if len(self._left) > _MOST:
            self._left.pop(next(iter(self._left)))
