"""Walking through a statechart at a desk: facts are toggled, the state follows. No IO: words in, text out."""

import re
from collections.abc import Iterable

from attrs import define, field

from nvdra.core.machine import Interpreter
from nvdra.core.statechart import Statechart, dotted
from nvdra.core.table import compile_table
from nvdra.draw.sentences import place
from nvdra.draw.step import story
from nvdra.errors import ConfigError

HELP = "toggle facts by name or number, several at once; ? shows them, q ends"


def known_facts(chart: Statechart, names: Iterable[str]) -> frozenset[str]:
    """Those facts. Raises ConfigError for a name that the statechart does not know."""
    wanted = frozenset(names)
    unknown = sorted(wanted - set(chart.facts))
    if unknown:
        raise ConfigError(f"{chart.name} has no fact {', '.join(map(repr, unknown))}; it has {', '.join(chart.facts)}")
    return wanted


def leaf_called(chart: Statechart, name: str) -> str:
    """The leaf of that name, or the one where that state begins. Raises ConfigError for an unknown name."""
    chain = place(chart, name)
    while chain[-1].states:
        chain = (*chain, chain[-1].states[chain[-1].initial])
    return dotted(chain)


@define
class Walk:
    """Where one is, and the facts that hold."""

    chart: Statechart
    facts: frozenset[str] = frozenset()
    state: str = field(init=False)
    _interpreter: Interpreter = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._interpreter = Interpreter(compile_table(self.chart))
        self.state = self._interpreter.table.initial

    def menu(self) -> str:
        """The facts, numbered; those that hold are marked."""
        rows = (
            f"{number:>3} {'[x]' if name in self.facts else '[ ]'} {name}: {said}"
            for number, (name, said) in enumerate(self.chart.facts.items(), start=1)
        )
        return "\n".join([f"{self.chart.name}: {HELP}", *rows])

    def answer(self, line: str) -> str:
        """What a line from the keyboard leads to."""
        words = [word for word in re.split(r"[,\s]+", line) if word]
        if "?" in words:
            return f"{self.menu()}\n"
        try:
            toggled = known_facts(self.chart, map(self._named, words))
        except ConfigError as error:
            return f"{error}\n"
        self.facts ^= toggled
        return self.look()

    def look(self) -> str:
        """Settle, and tell the step."""
        start = self.state
        step = self._interpreter.settle(start, self.facts)
        self.state = step.leaf.name
        return f"\n{story(self.chart, start, step, self.facts)}"

    def _named(self, word: str) -> str:
        names = list(self.chart.facts)
        return names[int(word) - 1] if word.isdecimal() and 0 < int(word) <= len(names) else word
