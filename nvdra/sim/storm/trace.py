"""What happened, line by line, and its fingerprint: two runs with one fingerprint were the same run."""

from contextvars import ContextVar
from hashlib import blake2b
from typing import Any, Final

from attrs import define, field, frozen

from nvdra.sim.storm.clockwork import clock

WHO: Final[ContextVar[str]] = ContextVar("WHO", default="world")
"""Which process is at work; tasks inherit it."""


@frozen
class Line:
    """One thing that happened. `to`: whom it was done to; `kind`: step, write, move, fault, node, broken."""

    at: float
    who: str
    kind: str
    text: str
    to: str = ""

    def __str__(self) -> str:
        return f"{self.at:10.3f}  {self.who:<22} {self.text}"


@define(eq=False)
class Trace:
    """All lines of a run."""

    lines: list[Line] = field(factory=list)
    _hash: Any = field(factory=lambda: blake2b(digest_size=8))

    def note(self, kind: str, text: str, who: str = "", to: str = "") -> None:
        """Something happened, now."""
        line = Line(clock(), who or WHO.get(), kind, text, to)
        self.lines.append(line)
        self._hash.update(f"{line.at!r}|{line.who}|{kind}|{text}|{to}\n".encode())

    @property
    def fingerprint(self) -> str:
        """Of everything so far."""
        return str(self._hash.hexdigest())
