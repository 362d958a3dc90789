"""Structural schemas at work on the way in: unknown fields are pruned and named, defaults are filled in. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from nvdra.sim.apiserver.patches import clone

Json = dict[str, Any]
Schema = Mapping[str, Any]
Resolve = Callable[[Schema], Schema]
ROOT = frozenset({"apiVersion", "kind", "metadata"})
"""Always there, whatever a schema says."""


def pruned(schema: Schema, obj: Json, resolve: Resolve = dict) -> tuple[Json, list[str]]:
    """The object without what its schema does not know, and the paths of what was taken out."""
    unknown: list[str] = []
    rest = {key: value for key, value in obj.items() if key not in ROOT}
    kept = _prune(schema, rest, "", (unknown, resolve))
    return {**{key: obj[key] for key in obj if key in ROOT}, **kept}, unknown


def _prune(schema: Schema, value: Any, path: str, how: tuple[list[str], Resolve]) -> Any:
    schema = how[1](schema)
    if isinstance(value, list):
        items = schema.get("items")
        if items is None:
            return value
        return [_prune(items, item, f"{path}[{index}]", how) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    return {key: kept for key, item in value.items() if (kept := _member(schema, key, item, path, how)) is not _GONE}


_GONE = object()


def _member(schema: Schema, key: str, item: Any, path: str, how: tuple[list[str], Resolve]) -> Any:
    where = f"{path}.{key}" if path else key
    properties = schema.get("properties") or {}
    if key in properties:
        return _prune(properties[key], item, where, how)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        return _prune(extra, item, where, how)
    if extra or schema.get("x-kubernetes-preserve-unknown-fields") or not schema.get("type", schema.get("properties")):
        return item
    if schema.get("x-kubernetes-embedded-resource") and key in ROOT:
        return item
    how[0].append(where)
    return _GONE


def defaulted(schema: Schema, value: Any) -> Any:
    """The value with defaults where something is missing. Objects are copied where they change."""
    if isinstance(value, list) and "items" in schema:
        return [defaulted(schema["items"], item) for item in value]
    if not isinstance(value, dict):
        return value
    result = dict(value)
    for key, inner in (schema.get("properties") or {}).items():
        if result.get(key, _GONE) is None and not inner.get("nullable"):
            del result[key]  # a null where none is allowed is as good as nothing
        if key not in result and "default" in inner:
            result[key] = clone(inner["default"])
        if key in result:
            result[key] = defaulted(inner, result[key])
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        known = schema.get("properties") or {}
        result.update({key: defaulted(extra, item) for key, item in result.items() if key not in known})
    return result
