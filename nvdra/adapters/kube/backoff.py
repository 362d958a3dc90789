"""How long to wait before the next try: doubling, bounded, and not in step with everybody else."""

import random

from attrs import define, field


@define
class Backoff:
    """From `first` to `last` seconds, each drawn from the upper half of its step."""

    first: float
    last: float
    rng: random.Random
    _step: int = field(default=0, init=False)
    _floor: float = field(default=0.0, init=False)

    def next(self) -> float:
        """The next pause."""
        step = min(self.last, self.first * 2.0**self._step)
        if step < self.last:
            self._step += 1
        pause = max(self._floor * self.rng.uniform(1.0, 2.0), step * self.rng.uniform(0.5, 1.0))
        self._floor = 0.0
        return pause

    def at_least(self, seconds: float) -> None:
        """The next pause is not shorter, up to twice as long: somebody asked for that, of us and of others."""
        self._floor = min(seconds, self.last)

    def reset(self) -> None:
        """It works again."""
        self._step = 0
