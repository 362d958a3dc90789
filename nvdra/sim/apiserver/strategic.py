"""Strategic merge patch: lists of named things are merged by name. Pure; which lists those are is in listtypes.py."""

from collections.abc import Mapping
from typing import Any

from nvdra.sim.apiserver.listtypes import SETS, merge_key
from nvdra.sim.apiserver.status import bad_request

Json = dict[str, Any]

_DELETE_SET = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_RETAIN = "$retainKeys"
_DIRECTIVE = "$patch"


def patched(base: Json, patch: Any) -> Json:
    """The object with the patch on it. Neither is changed."""
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: a strategic merge patch is an object")
    return _object(base, patch)


def _object(base: Any, patch: Mapping[str, Any]) -> Json:
    directive = patch.get(_DIRECTIVE)
    plain = {key: value for key, value in patch.items() if not key.startswith("$")}
    if directive == "replace":
        return plain
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"error decoding patch: unknown $patch directive {directive!r}")
    result = dict(base) if isinstance(base, dict) else {}
    if _RETAIN in patch:
        result = {key: value for key, value in result.items() if key in patch[_RETAIN]}
    for key, value in plain.items():
        merged = _member(key, result.get(key), value)
        if merged is None:
            result.pop(key, None)
        else:
            result[key] = merged
    for key, value in patch.items():
        if key.startswith(_DELETE_SET):
            name = key.removeprefix(_DELETE_SET)
            result[name] = [item for item in result.get(name) or [] if item not in value]
        elif key.startswith(_ORDER):
            _reorder(result, key.removeprefix(_ORDER), value)
    return result


def _member(key: str, base: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return _object(base, value)
    if not isinstance(value, list):
        return value
    if key in SETS:
        return [*(base or []), *(item for item in value if item not in (base or []))]
    name = merge_key(key, [*(base or []), *value])
    if name is None or not all(isinstance(item, dict) for item in value):
        return value
    return _list(base or [], value, name)


def _list(base: list[Json], patch: list[Json], name: str) -> list[Json]:
    if any(item.get(_DIRECTIVE) == "replace" and len(item) == 1 for item in patch):
        return [item for item in patch if _DIRECTIVE not in item]
    result = list(base)
    for item in patch:
        if name not in item:
            raise bad_request(f"error decoding patch: map: {item} does not contain declared merge key: {name}")
        place = next((index for index, old in enumerate(result) if old.get(name) == item[name]), None)
        if item.get(_DIRECTIVE) == "delete":
            result = [old for old in result if old.get(name) != item[name]]
        elif place is None:
            result.append(_object({}, item))
        else:
            result[place] = _object(result[place], item)
    return result


def _reorder(result: Json, field: str, order: list[Any]) -> None:
    items = result.get(field)
    if not isinstance(items, list):
        return
    if all(isinstance(item, dict) for item in items):
        name = merge_key(field, items)
        wanted = [item.get(name) for item in order if isinstance(item, dict)]
        known: list[Any] = [item.get(name) for item in items]
    else:
        wanted, known = list(order), list(items)
    rank = {repr(value): place for place, value in enumerate(wanted)}
    ordered = sorted(range(len(items)), key=lambda place: rank.get(repr(known[place]), len(rank) + place))
    result[field] = [items[place] for place in ordered]
