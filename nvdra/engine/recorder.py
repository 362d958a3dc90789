"""What a stranger reads at 3 a.m.: one line a step, and numbers for dashboards. Acts on nothing."""

import logging
from collections.abc import Mapping
from typing import Protocol

from attrs import define, field

from nvdra.core.machine import Step
from nvdra.core.table import Edge
from nvdra.engine.queue import Key

log = logging.getLogger("nvdra.engine")


class Meter(Protocol):
    """Numbers about states."""

    def entered(self, statechart: str, source: str | None, target: str | None, seconds: float) -> None:
        """An object went from a state (None: it was new) to another (None: it was forgotten), after so long."""
        ...

    def failed(self, statechart: str, thing: str, kind: str) -> None:
        """An order could not be carried out; `kind` is again, refused or error."""
        ...


class NoMeter:
    """Numbers for nobody."""

    def entered(self, statechart: str, source: str | None, target: str | None, seconds: float) -> None:
        """Count nothing."""

    def failed(self, statechart: str, thing: str, kind: str) -> None:
        """Count nothing."""


@define(eq=False)
class Recorder:
    """Takes note of steps and failures."""

    meter: Meter = field(factory=NoMeter)

    def stepped(self, key: Key, source: str | None, step: Step, seconds: float, title: str = "") -> None:
        """The key is in another leaf than before (or is seen for the first time: `source` is None)."""
        target = step.leaf.name
        self.meter.entered(key.kind, source, target, seconds)
        because = _because(step.path)
        text = f"{key.kind} {title or key.id}: {source or '(first sight)'} → {target}"
        text += f" ({because})" if because else ""
        text += f" after {seconds:.1f}s" if source else ""
        log.info(text, extra=_fields(key, source=source, state=target, because=because))

    def acted(self, key: Key, state: str, thing: str) -> None:
        """An order was carried out, or found nothing to do. Nobody wants to know, but tests that stop there."""

    def forgot(self, key: Key, state: str, seconds: float) -> None:
        """The key came to an end."""
        self.meter.entered(key.kind, state, None, seconds)

    def failed(self, key: Key, thing: str, kind: str, text: str, title: str = "") -> None:
        """An order was not carried out."""
        self.meter.failed(key.kind, thing, kind)
        level = {"again": logging.INFO, "refused": logging.WARNING}.get(kind, logging.ERROR)
        log.log(level, "%s %s: %s: %s", key.kind, title or key.id, thing, text, extra=_fields(key, thing=thing))


def _because(path: tuple[Edge, ...]) -> str:
    return ", ".join(dict.fromkeys(edge.because for edge in path))


def _fields(key: Key, **more: object) -> Mapping[str, object]:
    return {"kind": key.kind, "key": key.id, **more}
