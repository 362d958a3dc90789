"""The JSONPath of printer columns: `.a.b`, `['a']`, `[0]`, `[*]` and `[?(@.x=="y")]`. The first match counts."""

import re
from typing import Any

from attrs import frozen

_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]]+)|\['(?P<quoted>[^']+)'\]|\[(?P<index>-?\d+|\*)\]"""
    r"""|\[\?\(@\.(?P<key>[\w.-]+)\s*==\s*['"](?P<value>[^'"]*)['"]\)\]"""
)


@frozen
class Step:
    """One step down: by name, by index, or to the items that have a value."""

    name: str = ""
    index: str = ""
    key: str = ""
    value: str = ""


def parse(text: str) -> tuple[Step, ...]:
    """Read a path. ValueError for what is not one, or uses more than is known here."""
    text = text.replace("\\.", "\0").strip("{}")
    text = text if text[:1] in ".[" else f".{text}"
    steps, place = [], 0
    while place < len(text):
        found = _STEP.match(text, place)
        if found is None:
            raise ValueError(
                f'JSONPath {text!r}: cannot read {text[place:]!r}; names, indices and [?(@.x=="y")] are known'
            )
        parts = found.groupdict(default="")
        steps.append(
            Step((parts["name"] or parts["quoted"]).replace("\0", "."), parts["index"], parts["key"], parts["value"])
        )
        place = found.end()
    return tuple(steps)


def find(path: tuple[Step, ...], value: Any) -> Any:
    """The first value at a path, or None."""
    for position, step in enumerate(path):
        if step.name:
            value = value.get(step.name) if isinstance(value, dict) else None
        elif isinstance(value, list):
            items = _chosen(step, value)
            rest = (find(path[position + 1 :], item) for item in items)
            return next((found for found in rest if found is not None), None)
        else:
            return None
    return value


def _chosen(step: Step, items: list[Any]) -> list[Any]:
    if step.key:
        return [item for item in items if str(find(parse(step.key), item)) == step.value]
    if step.index == "*":
        return items
    place = int(step.index)
    return items[place : place + 1] if place >= 0 else items[place:][:1]
