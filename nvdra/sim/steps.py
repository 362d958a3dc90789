"""The statecharts' states as the driver's own log lines tell them, read from the containers' log files."""

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

from attrs import define, field, frozen

_LINE = re.compile(
    r"\S+ \w (?P<kind>[a-z-]+) (?P<title>\S.*?): (?P<source>\S+|\(first sight\)) → (?P<state>\S+)(?P<rest>.*)"
)


@frozen
class Step:
    """One object went to another state."""

    node: str
    kind: str
    title: str
    state: str
    because: str


class StepHandler(logging.Handler):
    """Takes the steps of instances that run in this process from the log itself."""

    def __init__(self, reader: "StepReader") -> None:
        super().__init__(logging.INFO)
        self._reader = reader

    def emit(self, record: logging.LogRecord) -> None:
        """Anything but a step is passed over."""
        found = _LINE.match(f"- I {record.getMessage()}")
        if found:
            self._reader.heard.append(_step("here", found))


@define
class StepReader:
    """Follows all log files below the nodes' roots."""

    nodes: Path
    states: dict[tuple[str, str, str], Step] = field(factory=dict)
    changed: dict[tuple[str, str, str], float] = field(factory=dict)
    heard: list[Step] = field(factory=list)
    _read: dict[Path, int] = field(factory=dict)

    def fresh(self) -> Iterator[Step]:
        """What happened since the last call."""
        heard, self.heard = self.heard, []
        for step in heard:
            self._note(step)
            yield step
        for path in sorted(self.nodes.glob("*/var/log/pods/*/*/*.log")):
            node = path.relative_to(self.nodes).parts[0]
            try:
                with path.open("rb") as file:
                    file.seek(self._read.get(path, 0))
                    content = file.read()
            except FileNotFoundError:
                continue  # the pod, and its log with it, went while we looked
            whole = content.rfind(b"\n") + 1
            self._read[path] = self._read.get(path, 0) + whole
            for line in content[:whole].decode(errors="replace").splitlines():
                found = _LINE.match(line)
                if found:
                    step = _step(node, found)
                    self._note(step)
                    yield step

    def _note(self, step: Step) -> None:
        key = (step.node, step.kind, step.title)
        self.states[key], self.changed[key] = step, time.monotonic()


def _step(node: str, found: re.Match[str]) -> Step:
    return Step(node, found["kind"], found["title"], found["state"], _because(found["rest"]))


def _because(rest: str) -> str:
    return rest.partition("(")[2].rpartition(")")[0]
