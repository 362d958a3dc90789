"""Merge patch (RFC 7386) and JSON patch (RFC 6902, with Kubernetes' manners) as pure functions on JSON."""

from collections.abc import Sequence
from typing import Any

from nvdra.sim.apiserver.status import PatchTestFailedError, StatusError, bad_request

Json = dict[str, Any]
_REJECTED = "the server rejected our request due to an error in our request"


def clone(value: Any) -> Any:
    """A deep copy of JSON."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386. Neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def merge_patch_between(old: Any, new: Json) -> Json:
    """The merge patch that turns `old` into `new`."""
    if not isinstance(old, dict):
        return new
    patch: Json = {key: None for key in old if key not in new}
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            if inner := merge_patch_between(old[key], value):
                patch[key] = inner
        elif key not in old or old[key] != value:
            patch[key] = value
    return patch


def json_patched(target: Json, operations: Sequence[Any]) -> Json:
    """RFC 6902. Raises a 422 Status, as kube-apiserver does, when an operation cannot be done."""
    document = clone(target)
    for operation in operations:
        if not isinstance(operation, dict) or "op" not in operation or not isinstance(operation.get("path"), str):
            raise bad_request(f"error decoding patch: {operation!r} needs op and path")
        document = _do(document, operation)
    if not isinstance(document, dict):
        raise _rejected()
    return document


def _do(document: Any, operation: Json) -> Any:
    path = _parts(operation["path"])
    match operation["op"]:
        case "test":
            return _tested(document, path, operation.get("value"))
        case "add":
            return _add(document, path, clone(operation.get("value")))
        case "replace":
            _get(document, path)
            return _put(document, path, clone(operation.get("value")))
        case "remove":
            return _remove(document, path)
        case "copy":
            return _add(document, path, clone(_get(document, _parts(operation.get("from", "")))))
        case "move":
            origin = _parts(operation.get("from", ""))
            value = _get(document, origin)
            return _add(_remove(document, origin), path, value)
    raise bad_request(f"error decoding patch: unexpected kind of operation {operation['op']!r}")


def _rejected() -> StatusError:
    return StatusError(422, "Invalid", _REJECTED)


def _parts(path: str) -> list[str]:
    if path == "":
        return []
    if not path.startswith("/"):
        raise _rejected()
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _tested(document: Any, path: list[str], wanted: Any) -> Any:
    try:
        found = _get(document, path)
    except StatusError:
        found = None  # a missing member equals null: Kubernetes' JSON patch library holds so
    if not same(found, wanted):
        raise PatchTestFailedError(422, "Invalid", _REJECTED)
    return document


def same(left: Any, right: Any) -> bool:
    """Equality of JSON: true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def _index(part: str, *, end: int) -> int:
    if not part.isdigit() or (len(part) > 1 and part[0] == "0") or int(part) >= end:
        raise _rejected()
    return int(part)


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(part, end=len(document))]
        else:
            raise _rejected()
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    if isinstance(parent, list):
        last = path[-1]
        parent.insert(len(parent) if last == "-" else _index(last, end=len(parent) + 1), value)
        return document
    return _put(document, path, value)


def _put(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    if isinstance(parent, list):
        parent[_index(path[-1], end=len(parent))] = value
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise _rejected()
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        raise _rejected()
    parent = _get(document, path[:-1])
    _get(document, path)
    if isinstance(parent, list):
        del parent[int(path[-1])]
    else:
        del parent[path[-1]]
    return document
