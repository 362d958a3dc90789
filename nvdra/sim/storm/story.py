"""A run as people read it: who did what, in which state; and as a Mermaid sequence diagram. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from nvdra.sim.storm.trace import Line

_UID: Final = re.compile(r"([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TOLD: Final = {"step": "·", "write": "→", "move": "◆", "fault": "✗", "node": "○", "broken": "‼"}
MOST_ARROWS: Final = 120


def story(lines: Sequence[Line], most: int = 0) -> list[str]:
    """The lines with seconds from the first one; the last `most` only, when that is given."""
    if not lines:
        return []
    first = lines[0].at
    told = [f"{line.at - first:9.3f} s  {line.who:<20} {_TOLD[line.kind]} {short(line.text)}" for line in lines]
    if most and len(told) > most:
        return [f"… {len(told) - most} lines before", *told[-most:]]
    return told


def short(text: str) -> str:
    """Uids by their first eight digits."""
    return _UID.sub(r"\1…", text)


def diagram(lines: Sequence[Line], most: int = MOST_ARROWS) -> str:
    """Writes are arrows to the API server, moves arrows to whom they hit, steps and faults are notes."""
    kept = [line for line in lines if _drawn(line)][-most:]
    who = dict.fromkeys(name for line in kept for name in _parties(line))
    names = {name: f"p{number}" for number, name in enumerate(who)}
    out = ["sequenceDiagram", *(f"    participant {alias} as {name}" for name, alias in names.items())]
    for line in kept:
        parties = [names[name] for name in _parties(line)]
        text = _clean(short(line.text))
        if len(parties) == 2 and parties[0] != parties[1]:
            arrow = "-x" if line.kind == "broken" else "->>"
            out.append(f"    {parties[0]}{arrow}{parties[1]}: {text}")
        else:
            out.append(f"    Note over {parties[0]}: {text}")
    return "\n".join(out)


def _drawn(line: Line) -> bool:
    """Kubernetes' own book-keeping is left out of the picture."""
    return line.kind != "write" or line.who != "kube"


def _parties(line: Line) -> tuple[str, ...]:
    who = line.who.partition(" ")[0] if line.kind == "write" else line.who
    if line.kind in ("write", "broken"):
        return (who, "API")
    return (who,)


def _clean(text: str) -> str:
    """Without what Mermaid takes for its own."""
    return re.sub(r"[;#<>]", " ", text)[:110]
