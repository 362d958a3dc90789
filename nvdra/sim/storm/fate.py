"""What goes wrong, and when: one seed decides every question that the world asks; a script of answers replays them.

A question is known by its place and by how often it was asked there, so that leaving out one answer moves few others.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from attrs import define, field, frozen

from nvdra.sim.storm.clockwork import clock

MOVES = "move"
"""The place of what users and nodes do by themselves."""
UNCOUNTED = "kubelet"
LEASES = " leases"
"""What goes on for ever by itself, and is not the driver's work, is no measure of a storm."""
Odds = Mapping[str, float]
"""What may happen, and how likely each is."""


@frozen(order=True)
class Fault:
    """One answer that was not "nothing": at that time, at that place, the nth question there."""

    at: float
    site: str
    nth: int
    what: str

    def plain(self) -> list[Any]:
        """As JSON has it."""
        return [self.at, self.site, self.nth, self.what]


Place = tuple[str, int]
"""A question: where it was asked, and the how-manyth time there."""


@define(eq=False)
class Fate:
    """One run's luck. `weather`: how much each kind of fault is favoured by this seed; 0 is never.

    `script`: the answers of an earlier run; nothing but these happens. `calm`: no more faults, whoever asks.
    """

    seed: int
    weather: Odds = field(factory=dict)
    script: tuple[Fault, ...] | None = None
    calm: bool = False
    places: list[Place] | None = None
    """Every question of the driver, in order; noted when there is a list for them."""
    disturbed: tuple[Place, str] | None = None
    """The one place at which this one thing happens (Sieve)."""
    steps: int = 0
    asked: int = 0
    told: list[Fault] = field(factory=list)
    _at: dict[str, int] = field(factory=dict)
    _answers: dict[tuple[str, int], str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._answers = {(f.site, f.nth): f.what for f in self.script or () if f.site != MOVES}

    def ask(self, site: str, odds: Odds) -> str:
        """What happens here now; "" is nothing. Each question of the driver is a step of the storm."""
        self.asked += 1
        counts = not site.startswith(UNCOUNTED) and not site.endswith(LEASES)
        self.steps += counts
        nth = self._at[site] = self._at.get(site, 0) + 1
        if self.calm:
            return ""
        if self.places is not None and counts:
            self.places.append((site, nth))
        if self.disturbed is not None:
            return self.disturbed[1] if self.disturbed[0] == (site, nth) else ""
        what = self._answer(site, nth, odds)
        if what:
            self.told.append(Fault(clock(), site, nth, what))
        return what

    def _answer(self, site: str, nth: int, odds: Odds) -> str:
        if self.script is not None:
            found = self._answers.get((site, nth), "")
            return found if found in odds else ""
        drawn, sum_ = self.chance("ask", site, nth), 0.0
        for what, likely in odds.items():
            sum_ += likely * self.weather.get(what, 1.0)
            if drawn < sum_:
                return what
        return ""

    def moved(self, what: str) -> None:
        """Somebody did something by himself."""
        self.told.append(Fault(clock(), MOVES, len(self.told), what))

    def moves(self) -> Sequence[Fault]:
        """The moves of the script, in order of time."""
        return sorted(f for f in self.script or () if f.site == MOVES)

    def chance(self, *about: object) -> float:
        """A number from 0 to 1 that depends on the seed and on what it is about, and on nothing else."""
        text = "/".join(map(str, (self.seed, *about)))
        return int.from_bytes(blake2b(text.encode(), digest_size=7).digest(), "big") / 2**56

    def between(self, low: float, high: float, *about: object) -> float:
        """A number in a range."""
        return low + (high - low) * self.chance(*about)

    def pick(self, among: Sequence[str], *about: object) -> str:
        """One of several."""
        return among[min(len(among) - 1, int(self.chance(*about) * len(among)))]


def script_of(plain: Iterable[Sequence[Any]]) -> tuple[Fault, ...]:
    """From JSON."""
    return tuple(Fault(float(at), str(site), int(nth), str(what)) for at, site, nth, what in plain)
