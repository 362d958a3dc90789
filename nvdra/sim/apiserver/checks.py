"""Small checks that the rules of kinds are made of. Pure."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from nvdra.sim.apiserver.meta import is_label, is_subdomain
from nvdra.sim.apiserver.status import Flaw

Json = dict[str, Any]


def immutable(path: str, new: Any, old: Any) -> Iterator[Flaw]:
    """A value that must stay."""
    if new != old:
        yield Flaw(path, f"Invalid value: {_short(new)}: field is immutable")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f'"{type(value).__name__}"'


def required(path: str, value: Any) -> Iterator[Flaw]:
    """A value that must be there."""
    if value in (None, "", [], {}):
        yield Flaw(path, "Required value", "FieldValueRequired")


def too_many(path: str, items: Any, limit: int) -> Iterator[Flaw]:
    """A list that must not be longer."""
    if len(items or ()) > limit:
        yield Flaw(path, f"Too many: {len(items)}: must have at most {limit} items", "FieldValueTooMany")


def named_once(path: str, items: Iterable[Json], key: str = "name") -> Iterator[Flaw]:
    """No two items have the same name."""
    for name, number in Counter(item.get(key, "") for item in items).items():
        if number > 1:
            yield Flaw(path, f'Duplicate value: "{name}"', "FieldValueDuplicate")


def labels(path: str, items: Iterable[Json]) -> Iterator[Flaw]:
    """Every item's name is a DNS label."""
    for index, item in enumerate(items):
        name = item.get("name", "")
        if not is_label(name):
            yield Flaw(f"{path}[{index}].name", f'Invalid value: "{name}": a lowercase RFC 1123 label is wanted')


def driver(path: str, name: Any) -> Iterator[Flaw]:
    """A driver's name."""
    yield from required(path, name)
    if name and (len(str(name)) > 63 or not is_subdomain(str(name).lower())):
        yield Flaw(path, f'Invalid value: "{name}": a driver name is a DNS subdomain of at most 63 characters')
