"""YAML → Statechart, every fault at once, each with its file, line and path. Nothing here knows what states mean."""

import keyword
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from attrs import define, field, frozen
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from nvdra.core import guards
from nvdra.core.guards import Guard, GuardError
from nvdra.core.laws import Fault
from nvdra.core.statechart import MAX_DEPTH, MAX_FACTS, Next, State, Statechart
from nvdra.errors import StatechartError

_Path = tuple[str | int, ...]

_TOP = {"statechart", "about", "facts", "initial", "states"}
_STATE = {"about", "while", "preempts", "next", "present", "absent", "report", "announce", "after", "final"} | {
    "initial",
    "states",
}
_FACT_NAME = re.compile(r"[a-z][a-z0-9_]*")
_STATE_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
_THING_NAME = re.compile(r"[a-z][a-z0-9-]*")
_WORD = re.compile(r"[A-Z][A-Za-z]*")
_DURATION = re.compile(r"(\d+)(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_BOOLEANS = {"on", "off", "yes", "no", "y", "n", "true", "false"}
_UNREADABLE = Guard("", (), frozenset())
"""Stands for a guard that was blamed, so that the rest of its state is looked at too."""


@frozen
class Loaded:
    """A statechart and where each part of it stands in its file."""

    statechart: Statechart
    file: str
    lines: Mapping[_Path, int]

    def where(self, at: _Path) -> str:
        """`file:line` of the nearest part that has one."""
        while at and at not in self.lines:
            at = at[:-1]
        return f"{self.file}:{self.lines.get(at, 1)}"

    def said(self, fault: Fault) -> str:
        """`file:line: law: sentence`."""
        return f"{self.where(fault.at)}: {fault.law}: {fault.sentence}"


def load(path: Path) -> Loaded:
    """Read one file. Raises StatechartError with every fault in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StatechartError(f"{path}: cannot be read: {error}") from error
    return parse(text, str(path))


def parse(text: str, file: str = "<text>") -> Loaded:
    """Read a text. Raises StatechartError with every fault in it."""
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise StatechartError(f"{file}:{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise StatechartError(f"{file}:1: not YAML: {' '.join(str(error).split())}") from error
    reader = _Reader(file)
    chart = reader.statechart(root)
    if reader.faults:
        count = len(reader.faults)
        raise StatechartError("\n".join([f"{file}: {count} fault{'s' * (count > 1)}", *reader.faults]))
    return Loaded(chart, file, reader.lines)


@define
class _Reader:
    """Walks the YAML nodes, remembers lines, collects faults."""

    file: str
    faults: list[str] = field(factory=list)
    lines: dict[_Path, int] = field(factory=dict)

    def blame(self, node: Node, at: _Path, sentence: str) -> None:
        address = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at)
        self.faults.append(f"{self.file}:{node.start_mark.line + 1}: {sentence}{f' @ {address}' if at else ''}")

    def statechart(self, root: Node | None) -> Statechart:
        if root is None:
            self.faults.append(f"{self.file}:1: the file is empty")
            return Statechart("", "", {}, "", {})
        top = self.mapping(root, (), _TOP)
        for key in ("statechart", "initial", "states", "facts"):
            if key not in top:
                self.blame(root, (), f"{key!r} is missing")
        facts = self.facts(top.get("facts"))
        states = self.states(top.get("states"), ("states",), 1, facts)
        chart = Statechart(
            name=self.text(top.get("statechart"), ("statechart",), _THING_NAME),
            about=self.text(top.get("about"), ("about",)),
            facts=facts,
            initial=self.text(top.get("initial"), ("initial",), _STATE_NAME),
            states=states,
        )
        self.check_name(root, chart.name)
        self.check_targets(root, chart)
        return chart

    def check_name(self, root: Node, name: str) -> None:
        stem = Path(self.file).stem
        if name and not self.file.startswith("<") and stem != name:
            self.blame(root, ("statechart",), f"is called {name!r} but the file {stem!r}")

    def facts(self, node: Node | None) -> dict[str, str]:
        facts = (
            {name: self.text(value, ("facts", name)) for name, value in self.mapping(node, ("facts",)).items()}
            if node
            else {}
        )
        for name in facts:
            if not _FACT_NAME.fullmatch(name) or keyword.iskeyword(name):
                self._blame_at(("facts", name), "a fact is named in snake_case, and not by a word of Python")
        if node and len(facts) > MAX_FACTS:
            self.blame(node, ("facts",), f"{len(facts)} facts, at most {MAX_FACTS}: this is two statecharts")
        return facts

    def states(self, node: Node | None, at: _Path, depth: int, facts: Mapping[str, str]) -> dict[str, State]:
        if node is None:
            return {}
        states = {}
        for name, value in self.mapping(node, at).items():
            if not _STATE_NAME.fullmatch(name):
                self.blame(value, (*at, name), "a state is named in PascalCase")
            states[name] = self.state(name, value, (*at, name), depth, facts)
        if not states and node is not None:
            self.blame(node, at, "no states")
        return states

    def state(self, name: str, node: Node, at: _Path, depth: int, facts: Mapping[str, str]) -> State:
        if isinstance(node, ScalarNode) and not node.value:
            return State(name)
        keys = self.mapping(node, at, _STATE)
        if "states" in keys and depth >= MAX_DEPTH:
            self.blame(keys["states"], (*at, "states"), f"nested deeper than {MAX_DEPTH}: this is two statecharts")
        if "states" in keys and "initial" not in keys:
            self.blame(node, at, "a state with states inside needs 'initial'")
        if "initial" in keys and "states" not in keys:
            self.blame(keys["initial"], (*at, "initial"), "a state without states inside has no 'initial'")
        if "preempts" in keys and depth > 1:
            self.blame(keys["preempts"], (*at, "preempts"), "only an outermost state may preempt")
        return State(
            name=name,
            about=self.text(keys.get("about"), (*at, "about")),
            while_=self.guard(keys.get("while"), (*at, "while"), facts),
            preempts=self.guard(keys.get("preempts"), (*at, "preempts"), facts),
            next=tuple(self.nexts(keys.get("next"), (*at, "next"), facts)),
            present=self.things(keys.get("present"), (*at, "present")),
            absent=self.things(keys.get("absent"), (*at, "absent")),
            report=self.text(keys.get("report"), (*at, "report"), _WORD),
            announce=self.text(keys.get("announce"), (*at, "announce"), _WORD),
            after=self.after(keys.get("after"), (*at, "after")),
            final=self.truth(keys.get("final"), (*at, "final")),
            initial=self.text(keys.get("initial"), (*at, "initial"), _STATE_NAME),
            # a YAML alias may contain itself: what is too deep is blamed, not followed
            states=self.states(keys.get("states"), (*at, "states"), depth + 1, facts) if depth < MAX_DEPTH else {},
        )

    def nexts(self, node: Node | None, at: _Path, facts: Mapping[str, str]) -> Iterator[Next]:
        for number, item in enumerate(self.sequence(node, at)):
            here = (*at, number)
            keys = self.mapping(item, here, {"when", "to"})
            if {"when", "to"} - set(keys):
                self.blame(item, here, "needs 'when' and 'to'")
            guard = self.guard(keys.get("when"), (*here, "when"), facts)
            yield Next(guard or _UNREADABLE, self.text(keys.get("to"), (*here, "to")))

    def guard(self, node: Node | None, at: _Path, facts: Mapping[str, str]) -> Guard | None:
        text = self.text(node, at)
        if node is None or not text:
            return None
        if len(text) > guards.MAX_LENGTH:
            self.blame(node, at, f"a guard of {len(text)} characters, at most {guards.MAX_LENGTH}: name a fact")
            return None
        try:
            guard = guards.parse(text)
        except GuardError as error:
            self.blame(node, at, str(error))
            return None
        for name in sorted(guard.names - set(facts)):
            self.blame(node, at, f"undeclared fact {name!r} in {text!r}")
        return guard

    def things(self, node: Node | None, at: _Path) -> tuple[str, ...]:
        return tuple(self.text(item, (*at, number), _THING_NAME) for number, item in enumerate(self.sequence(node, at)))

    def after(self, node: Node | None, at: _Path) -> dict[float, str]:
        after: dict[float, str] = {}
        for key, value in (self.mapping(node, at) if node else {}).items():
            found = _DURATION.fullmatch(key)
            if not found:
                self.blame(value, (*at, key), f"{key!r} is not a duration such as 30s, 5m or 1h")
                continue
            seconds = float(found[1]) * _SECONDS[found[2]]
            if seconds in after:
                self.blame(value, (*at, key), "that time is written already in other words")
            after[seconds] = self.text(value, (*at, key), _WORD)
        return after

    def truth(self, node: Node | None, at: _Path) -> bool:
        if node is not None and not (isinstance(node, ScalarNode) and node.value == "true"):
            self.blame(node, at, "can only be true")
        return node is not None

    def text(self, node: Node | None, at: _Path, pattern: re.Pattern[str] | None = None) -> str:
        if node is None:
            return ""
        self.lines.setdefault(at, node.start_mark.line + 1)  # the line of the key, when there is one
        if not isinstance(node, ScalarNode) or not node.value.strip():
            self.blame(node, at, "needs a text")
            return ""
        value = " ".join(node.value.split())
        if pattern and (not pattern.fullmatch(value) or value.lower() in _BOOLEANS):
            self.blame(node, at, f"{value!r} is not a name of the form {pattern.pattern}")
        return value

    def sequence(self, node: Node | None, at: _Path) -> list[Node]:
        if node is None:
            return []
        self.lines.setdefault(at, node.start_mark.line + 1)  # the line of the key, when there is one
        if isinstance(node, SequenceNode):
            return list(node.value)
        self.blame(node, at, "needs a list")
        return []

    def mapping(self, node: Node, at: _Path, allowed: set[str] | None = None) -> dict[str, Node]:
        self.lines.setdefault(at, node.start_mark.line + 1)  # the line of the key, when there is one
        if not isinstance(node, MappingNode):
            self.blame(node, at, "needs a mapping")
            return {}
        keys: dict[str, Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, ScalarNode) else ""
            self.lines[(*at, name)] = key.start_mark.line + 1
            if not name or name.lower() in _BOOLEANS:
                self.blame(key, at, f"{name!r} cannot be a key")
            elif name in keys:
                self.blame(key, (*at, name), "written twice")
            elif allowed is not None and name not in allowed:
                self.blame(key, (*at, name), f"unknown key; known here: {', '.join(sorted(allowed))}")
            else:
                keys[name] = value
        return keys

    def check_targets(self, root: Node, chart: Statechart) -> None:
        """Names of states that stand for others: initial and to."""
        self._check_initial(root, ("initial",), chart.initial, chart.states)
        names = {state.name for chain in _every(chart.states) for state in chain}
        for chain in _every(chart.states):
            state = chain[-1]
            at: _Path = tuple(part for s in chain for part in ("states", s.name))
            if state.states:
                self._check_initial(root, (*at, "initial"), state.initial, state.states)
                for key in ("announce", "after", "final"):
                    if getattr(state, key):
                        self._blame_at((*at, key), f"only a leaf may have {key!r}")
            for number, step in enumerate(state.next):
                if not step.to:
                    continue  # blamed already
                if step.to.split(".")[-1] not in names:
                    self._blame_at((*at, "next", number, "to"), f"no state is called {step.to!r}")
                elif step.to not in chain[-2].states if len(chain) > 1 else step.to not in chart.states:
                    try:
                        chart.chain(step.to)
                    except KeyError:
                        self._blame_at((*at, "next", number, "to"), f"{step.to!r} is ambiguous: write Outer.Inner")

    def _check_initial(self, root: Node, at: _Path, initial: str, states: Mapping[str, State]) -> None:
        if not initial or not states:
            return  # blamed already
        if initial not in states:
            self._blame_at(at, f"no state {initial!r} here; there are {', '.join(states)}")
        elif states[initial].preempts:
            self._blame_at(at, "what preempts cannot be where one begins")

    def _blame_at(self, at: _Path, sentence: str) -> None:
        address = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at)
        self.faults.append(f"{self.file}:{self.lines.get(at, 1)}: {sentence} @ {address}")


def _every(states: Mapping[str, State], above: tuple[State, ...] = ()) -> Iterator[tuple[State, ...]]:
    for state in states.values():
        yield (*above, state)
        yield from _every(state.states, (*above, state))
