"""The Helm chart's values as a table for docs/: what each means from its schema, its default from values.yaml."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

Json = Mapping[str, Any]


@frozen
class Value:
    """One value: where it is, what it is when nobody sets it, what it means. `known`: values.yaml has it."""

    path: str
    default: str
    about: str
    known: bool


def values_of(chart: Path) -> list[Value]:
    """Every value that the schema knows, in its order."""
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    return list(_leaves(schema, defaults, ""))


def _leaves(schema: Json, defaults: Any, path: str) -> Iterator[Value]:
    properties, known = schema.get("properties"), defaults is not _ABSENT
    whole = path == "statecharts" or (not known and "description" in schema)
    if properties is None or whole:
        yield Value(path, _shown(defaults) if known else "", schema.get("description", ""), known)
        return
    for name, inner in properties.items():
        value = defaults.get(name, _ABSENT) if isinstance(defaults, dict) else _ABSENT
        yield from _leaves(inner, value, f"{path}.{name}" if path else name)


_ABSENT = object()


def _shown(value: Any) -> str:
    """A default as one writes it; what is long is in values.yaml."""
    if isinstance(value, dict | list) and value:
        flat = json.dumps(value)
        return f"`{flat}`" if len(flat) <= _LONGEST else "see values.yaml"
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`" if value else "empty"


_LONGEST = 60
