"""Delta debugging: the fewest faults and the shortest storm that still end badly in the same way."""

import re
from collections.abc import Callable, Sequence

import attrs
from attrs import define, field

from nvdra.sim.storm.fate import MOVES, Fault
from nvdra.sim.storm.storm import Outcome, Plan, play

Say = Callable[[str], None]
_NAMES = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[a-z0-9]*\d[a-z0-9]*\b|-[a-z0-9]{5}\b")


def scripted(outcome: Outcome) -> Plan:
    """What was told, as a plan that says it again: nothing else happens, and everything at its time."""
    return attrs.evolve(outcome.plan, script=outcome.told, until=outcome.until, shape=outcome.shape)


def same(one: str, other: str) -> bool:
    """Whether two sentences say the same of other names."""
    return bool(one) and _NAMES.sub("…", one)[:60] == _NAMES.sub("…", other)[:60]


@define(eq=False)
class Shrinker:
    """Tries at most `tries` storms."""

    said: str
    tries: int = 200
    say: Say = lambda _: None
    again: Callable[[Plan], Outcome] = play
    tried: int = field(default=0, init=False)

    def shrink(self, outcome: Outcome) -> Outcome:
        """The smallest that was found; the outcome itself when its script does not even repeat it."""
        best = self._worse(scripted(outcome))
        if best is None:
            return outcome
        best = self._earlier(best)
        size = max(1, len(best.told) // 2)
        while size and self.tried < self.tries:
            smaller = self._without(best, size)
            best, size = (smaller, min(size, max(1, len(smaller.told) // 2))) if smaller else (best, size // 2)
        return best

    def _earlier(self, best: Outcome) -> Outcome:
        """What came after it broke was not needed."""
        kept = tuple(fault for fault in best.told if fault.at <= best.until)
        shorter = self._worse(attrs.evolve(best.plan, script=kept, until=best.until))
        return shorter or best

    def _without(self, best: Outcome, size: int) -> Outcome | None:
        """The first that still breaks with `size` faults fewer."""
        script: Sequence[Fault] = best.told
        for start in range(0, len(script), size):
            if self.tried >= self.tries:
                return None
            kept = (*script[:start], *script[start + size :])
            found = self._worse(attrs.evolve(best.plan, script=kept))
            if found is not None and len(found.told) < len(script):
                self.say(f"{len(found.told)} faults and moves left after {self.tried} tries")
                return found
        return None

    def _worse(self, plan: Plan) -> Outcome | None:
        self.tried += 1
        outcome = self.again(plan)
        return outcome if same(outcome.broken, self.said) else None


def counted(outcome: Outcome) -> str:
    """How much of a storm is left."""
    moves = sum(fault.site == MOVES for fault in outcome.told)
    return f"{moves} moves and {len(outcome.told) - moves} faults"
