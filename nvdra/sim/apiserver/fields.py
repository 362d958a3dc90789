"""Sets of field paths, and how managedFields writes them (fieldsV1). Pure.

A path is a tuple of steps: `f:name` a field, `k:{...}` an item by its keys, `v:value` a member of a set.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nvdra.sim.apiserver import listtypes

Json = dict[str, Any]
Path = tuple[str, ...]
Fields = frozenset[Path]
ListKeys = Callable[[str, str, Any], tuple[str, ...] | None]
_SELF = "."
_SYSTEM = frozenset({("f:apiVersion",), ("f:kind",), ("f:metadata", "f:name"), ("f:metadata", "f:namespace")})
_SYSTEM_META = frozenset(
    f"f:{name}"
    for name in ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
                 "generation", "managedFields", "selfLink", "generateName", "name", "namespace")
)  # fmt: skip


def keys_of(schema: Mapping[str, Any] | None) -> ListKeys:
    """How lists are keyed: by the CRD's schema, or by the table of built-in kinds."""
    if schema is None:
        return listtypes.keys
    found = dict(_schema_keys(schema, ""))
    found["ownerReferences"] = ("uid",)
    return lambda field, _parent, _items: found.get(field)


def _schema_keys(schema: Mapping[str, Any], name: str) -> Iterable[tuple[str, tuple[str, ...]]]:
    if schema.get("x-kubernetes-list-type") == "map":
        yield name, tuple(schema.get("x-kubernetes-list-map-keys", ()))
    for field, inner in (schema.get("properties") or {}).items():
        yield from _schema_keys(inner, field)
    if isinstance(schema.get("items"), dict):
        yield from _schema_keys(schema["items"], name if schema.get("x-kubernetes-list-type") != "map" else "")


def of(obj: Json, keys: ListKeys) -> dict[Path, Any]:
    """Every leaf of an object with its value, but for what belongs to the server."""
    leaves: dict[Path, Any] = {}
    _collect(obj, (), ("", ""), (leaves, keys))
    return {path: value for path, value in leaves.items() if not _system(path)}


def _system(path: Path) -> bool:
    return path in _SYSTEM or (len(path) > 1 and path[0] == "f:metadata" and path[1] in _SYSTEM_META)


def _collect(value: Any, path: Path, names: tuple[str, str], to: tuple[dict[Path, Any], ListKeys]) -> None:
    leaves, keys = to
    field, parent = names
    if isinstance(value, dict) and value and field not in listtypes.ATOMIC_MAPS:
        for key, item in value.items():
            _collect(item, (*path, f"f:{key}"), (key, field), to)
        return
    if isinstance(value, list) and field in listtypes.SETS:
        leaves.update({(*path, f"v:{json.dumps(item)}"): item for item in value})
        return
    by = keys(field, parent, value) if isinstance(value, list) else None
    if by is None or not all(isinstance(item, dict) for item in value):
        leaves[path] = value
        return
    for item in value:
        step = item_step(item, by)
        leaves[(*path, step, _SELF)] = None
        for key, inner in item.items():
            _collect(inner, (*path, step, f"f:{key}"), (key, field), to)


def item_step(item: Json, keys: tuple[str, ...]) -> str:
    """The step to an item of a list that is a map."""
    said = {key: item[key] for key in keys if key in item}
    if "protocol" in keys:
        said.setdefault("protocol", "TCP")
    return f"k:{json.dumps(said, sort_keys=True, separators=(',', ':'))}"


def encoded(fields: Iterable[Path]) -> Json:
    """As fieldsV1."""
    tree: Json = {}
    for path in sorted(fields):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    return tree


def decoded(tree: Json, path: Path = ()) -> Fields:
    """From fieldsV1."""
    if not tree:
        return frozenset([path]) if path else frozenset()
    found: set[Path] = set()
    for step, inner in tree.items():
        found |= decoded(inner, (*path, step))
    return frozenset(found)


def told(path: Path) -> str:
    """A path as conflicts name it: .spec.containers[name="a"].image."""
    text = ""
    for step in path:
        sort, _, rest = step.partition(":")
        if sort == "f":
            text += f".{rest}"
        elif sort == "k":
            said = ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(rest).items())
            text += f"[{said}]"
        elif sort == "v":
            text += f"[={rest}]"
    return text


def remove(obj: Json, paths: Iterable[Path], keys: ListKeys) -> None:
    """Take leaves out of an object, and what has become empty by it: fields first, then the items that held them."""
    for path in sorted(paths, key=lambda path: (path[-1] == _SELF, -len(path), path)):
        _remove(obj, path, ("", ""), keys)


def _remove(value: Any, path: Path, names: tuple[str, str], keys: ListKeys) -> bool:
    """Whether `value` is empty now, so that it can go too."""
    sort, _, rest = path[0].partition(":")
    if sort == "f" and isinstance(value, dict) and rest in value:
        if len(path) == 1 or _remove(value[rest], path[1:], (rest, names[0]), keys):
            del value[rest]
        return not value
    if sort == "v" and isinstance(value, list) and json.loads(rest) in value:
        value.remove(json.loads(rest))
        return not value
    if sort == "k" and isinstance(value, list):
        by = keys(names[0], names[1], value) or ()
        for item in [item for item in value if isinstance(item, dict) and item_step(item, by) == path[0]]:
            if path[1:] == (_SELF,):
                if item.keys() <= set(by):  # else somebody wants something of it
                    value.remove(item)
            elif path[1:] not in {(f"f:{key}",) for key in by}:  # keys go with their item
                _remove(item, path[1:], names, keys)
        return not value
    return False
