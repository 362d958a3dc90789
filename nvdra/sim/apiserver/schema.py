"""Validation of values against OpenAPI v3 schemas as CRDs write them. Pure; CEL rules are in cel.py."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from nvdra.sim.apiserver.status import Flaw

Schema = Mapping[str, Any]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_FORMATS = {
    "date-time": re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"),
    "uuid": re.compile(r"(?i)[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}"),
}


def flaws(schema: Schema, value: Any, path: str = "") -> Iterator[Flaw]:
    """Everything that is wrong with a value."""
    if value is None and schema.get("nullable"):
        return
    if wrong := _type_flaw(schema, value, path):
        yield wrong
        return
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(json.dumps(item) for item in schema["enum"])
        yield Flaw(
            path, f"Unsupported value: {json.dumps(value)}: supported values: {supported}", "FieldValueNotSupported"
        )
    if isinstance(value, str):
        yield from _string(schema, value, path)
    elif isinstance(value, dict):
        yield from _object(schema, value, path)
    elif isinstance(value, list):
        yield from _array(schema, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(schema, value, path)
    yield from _combined(schema, value, path)


def _type_flaw(schema: Schema, value: Any, path: str) -> Flaw | None:
    wanted = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        good, wanted = isinstance(value, int | str) and not isinstance(value, bool), "integer or string"
    elif wanted is None:
        return None
    elif isinstance(value, bool):
        good = wanted == "boolean"
    elif wanted == "integer" and isinstance(value, float):
        good = value.is_integer()
    else:
        good = isinstance(value, _TYPES[wanted])
    if good:
        return None
    told = type_name(value)
    text = f'Invalid value: "{told}": {path or "<nil>"} in body must be of type {wanted}: "{told}"'
    return Flaw(path, text, "FieldValueTypeInvalid")


def type_name(value: Any) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return next(name for name, types in _TYPES.items() if isinstance(value, types))


def _bad(path: str, value: Any, should: str) -> Flaw:
    return Flaw(path, f"Invalid value: {json.dumps(value)}: {path} in body {should}")


def _string(schema: Schema, value: str, path: str) -> Iterator[Flaw]:
    if len(value) > schema.get("maxLength", math.inf):
        yield Flaw(path, f"Too long: may not be more than {schema['maxLength']} bytes", "FieldValueTooLong")
    if len(value) < schema.get("minLength", 0):
        yield _bad(path, value, f"should be at least {schema['minLength']} chars long")
    if "pattern" in schema and not _compiled(schema["pattern"]).search(value):
        yield _bad(path, value, f"should match '{schema['pattern']}'")
    form = _FORMATS.get(schema.get("format", ""))
    if form is not None and not form.fullmatch(value):
        yield _bad(path, value, f"must be of type {schema['format']}: {json.dumps(value)}")


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Go's $ is the very end of the text, Python's is also before a last newline
    return re.compile(re.sub(r"(?<!\\)\$$", r"\\Z", pattern))


def _number(schema: Schema, value: float, path: str) -> Iterator[Flaw]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        yield _bad(path, value, f"should be greater than{' or equal to' * (not schema.get('exclusiveMinimum'))} {low}")
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        yield _bad(path, value, f"should be less than{' or equal to' * (not schema.get('exclusiveMaximum'))} {high}")
    if schema.get("multipleOf") and value % schema["multipleOf"]:
        yield _bad(path, value, f"should be a multiple of {schema['multipleOf']}")
    bits = {"int32": 31, "int64": 63}.get(schema.get("format", ""))
    if bits and not -(2**bits) <= value < 2**bits:
        yield _bad(path, value, f"must be of type {schema['format']}")


def _object(schema: Schema, value: Mapping[str, Any], path: str) -> Iterator[Flaw]:
    for name in schema.get("required", ()):
        if name not in value:
            yield Flaw(_below(path, name), "Required value", "FieldValueRequired")
    if len(value) > schema.get("maxProperties", math.inf):
        yield Flaw(
            path, f"Too many: {len(value)}: must have at most {schema['maxProperties']} items", "FieldValueTooMany"
        )
    if len(value) < schema.get("minProperties", 0):
        yield _bad(path, len(value), f"should have at least {schema['minProperties']} properties")
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    for name, item in value.items():
        if name in properties:
            yield from flaws(properties[name], item, _below(path, name))
        elif isinstance(extra, dict):
            yield from flaws(extra, item, f"{path}[{name}]" if path else name)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _array(schema: Schema, value: list[Any], path: str) -> Iterator[Flaw]:
    if len(value) > schema.get("maxItems", math.inf):
        yield Flaw(path, f"Too many: {len(value)}: must have at most {schema['maxItems']} items", "FieldValueTooMany")
    if len(value) < schema.get("minItems", 0):
        yield _bad(path, len(value), f"should have at least {schema['minItems']} items")
    yield from _duplicates(schema, value, path)
    for index, item in enumerate(value):
        yield from flaws(schema.get("items") or {}, item, f"{path}[{index}]")


def _duplicates(schema: Schema, value: list[Any], path: str) -> Iterator[Flaw]:
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("map", "set") and not schema.get("uniqueItems"):
        return
    names = schema.get("x-kubernetes-list-map-keys", ())
    seen: set[str] = set()
    for index, item in enumerate(value):
        said = (
            {name: item.get(name) for name in names if name in item}
            if kind == "map" and isinstance(item, dict)
            else item
        )
        text = json.dumps(said, sort_keys=True)
        if text in seen:
            yield Flaw(f"{path}[{index}]", f"Duplicate value: {text}", "FieldValueDuplicate")
        seen.add(text)


def _combined(schema: Schema, value: Any, path: str) -> Iterator[Flaw]:
    for inner in schema.get("allOf", ()):
        yield from flaws(inner, value, path)
    if "anyOf" in schema and all(any(flaws(inner, value, path)) for inner in schema["anyOf"]):
        yield _bad(path, value, "must validate at least one schema (anyOf)")
    if "oneOf" in schema and sum(not any(flaws(inner, value, path)) for inner in schema["oneOf"]) != 1:
        yield _bad(path, value, "must validate one and only one schema (oneOf)")
    if "not" in schema and not any(flaws(schema["not"], value, path)):
        yield _bad(path, value, "must not validate the schema (not)")
