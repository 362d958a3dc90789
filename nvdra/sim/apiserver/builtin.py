"""Schemas of the built-in kinds, read from the text of the official client's model files: nothing of it is imported.

Good enough to name unknown fields and wrong types, and for `kubectl explain`; quantities and the like stay free.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nvdra.sim.apiserver.resources import Resource
from nvdra.sim.apiserver.schema import type_name

Json = dict[str, Any]

_TABLE = re.compile(r"(openapi_types|attribute_map): ClassVar\[Dict\[str, str\]\] = \{(.*?)\n    \}", re.DOTALL)
_PAIR = re.compile(r'"([^"]+)":\s*"([^"]+)"')
_FIELD = re.compile(r"^    (\w+): (Optional\[)?(.*)$", re.MULTILINE)
_CLASS = re.compile(r"^class (\w+)\(BaseModel\):$", re.MULTILINE)
_DESCRIPTION = re.compile(r'description="((?:[^"\\]|\\.)*)"')
_IMPORT = re.compile(r"^from kubernetes\.client\.models\.(\w+) import (\w+)$", re.MULTILINE)
_INTRODUCTION = re.compile(r'^class \w+\(BaseModel\):\n    """\n    (.*?)\n', re.MULTILINE)
_SCALARS = {
    "str": "string",
    "int": "integer",
    "bool": "boolean",
    "float": "number",
    "datetime": "string",
    "date": "string",
}
_ROOTS = {
    ("", "events"): "core_v1_event",
    ("resource.k8s.io", "resourceclaims"): "resource_v1_resource_claim",
}


def root(resource: Resource, version: str = "") -> str:
    """The name of the model of a resource's objects."""
    known = _ROOTS.get(resource.key)
    spoken = version or resource.versions[0]
    if known and spoken == "v1":
        return known
    return f"{spoken}_{re.sub(r'(?<!^)(?=[A-Z])', '_', resource.kind).lower()}"


@cache
def _folder() -> Path | None:
    spec = find_spec("kubernetes")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "client" / "models"


@cache
def model(name: str) -> Mapping[str, Any]:
    """The schema of one model; references to others as `$ref`. Free form when there is no such model."""
    folder = _folder()
    path = folder / f"{name}.py" if folder else None
    if path is None or not path.exists():
        return {"x-kubernetes-preserve-unknown-fields": True}
    text = path.read_text(encoding="utf-8")
    tables = {table: dict(_PAIR.findall(rows)) for table, rows in _TABLE.findall(text)}
    modules = {kind: module for module, kind in _IMPORT.findall(text)}
    modules.update(dict.fromkeys(_CLASS.findall(text), name))
    lines = {field: (bool(optional), rest) for field, optional, rest in _FIELD.findall(text)}
    properties: Json = {}
    required: list[str] = []
    for field, json_name in tables.get("attribute_map", {}).items():
        optional, rest = lines.get(field, (True, ""))
        properties[json_name] = _schema(tables["openapi_types"][field], modules)
        if about := _DESCRIPTION.search(rest):
            properties[json_name]["description"] = about[1].replace('\\"', '"')
        if not optional:
            required.append(json_name)
    result: Json = {"type": "object", "properties": properties}
    if about := _INTRODUCTION.search(text):
        result["description"] = about[1]
    return {**result, "required": required} if required else result


def _schema(said: str, modules: Mapping[str, str]) -> Json:
    if said.startswith("List["):
        return {"type": "array", "items": _schema(said[5:-1], modules)}
    if said.startswith("Dict["):
        return {"type": "object", "additionalProperties": _schema(said[5:-1].split(", ", 1)[1], modules)}
    if said in _SCALARS:
        return {"type": _SCALARS[said]}
    if said in modules:
        return {"$ref": modules[said]}
    return {"x-kubernetes-preserve-unknown-fields": True}


def checked(resource: Resource, obj: Json) -> tuple[Json, list[str], list[str]]:
    """The object without unknown fields, their paths, and what has a wrong type."""
    unknown: list[str] = []
    wrong: list[str] = []
    kept = _walk({"$ref": root(resource)}, obj, "", (unknown, wrong))
    return kept, unknown, wrong


def checked_meta(obj: Json) -> tuple[list[str], list[str]]:
    """Unknown fields and wrong types in the metadata of a custom resource."""
    unknown: list[str] = []
    wrong: list[str] = []
    _walk({"$ref": "v1_object_meta"}, obj["metadata"], "metadata", (unknown, wrong))
    return unknown, wrong


def _walk(schema: Mapping[str, Any], value: Any, path: str, found: tuple[list[str], list[str]]) -> Any:
    if "$ref" in schema:
        schema = model(schema["$ref"])
    wanted = schema.get("type")
    if wanted is None or value is None:
        return value
    if not _fits(wanted, value):
        found[1].append(f"json: cannot unmarshal {type_name(value)} into field {path or '.'} of type {wanted}")
        return value
    if isinstance(value, list):
        return [_walk(schema["items"], item, f"{path}[{index}]", found) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    extra = schema.get("additionalProperties")
    if extra is not None:
        return {key: _walk(extra, item, f"{path}.{key}", found) for key, item in value.items()}
    properties = schema["properties"]
    result = {}
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        if key in properties:
            result[key] = _walk(properties[key], item, where, found)
        else:
            found[0].append(where)
    return result


def _fits(wanted: str, value: Any) -> bool:
    """Strings may be numbers: quantities and int-or-string look like strings to the client."""
    told = type_name(value)
    if wanted == "string":
        return told in ("string", "integer", "number")
    return (
        told == wanted
        or (wanted == "number" and told == "integer")
        or (wanted == "integer" and told == "number" and value.is_integer())
    )
