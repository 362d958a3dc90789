"""OpenAPI v3, as far as kubectl asks: which query parameters are understood, and schemas for `explain`."""

from functools import lru_cache
from typing import Any

import msgspec
from aiohttp import web

from nvdra.sim.apiserver import builtin
from nvdra.sim.apiserver.resources import Catalog, Resource
from nvdra.sim.apiserver.status import no_such_resource, not_implemented

Json = dict[str, Any]
_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force")
_PATCHES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
_INFO = {"title": "nvdra embedded API server", "version": "v1"}


def answer(catalog: Catalog, path: str) -> web.Response:
    """The index, or the document of one group and version."""
    if path.startswith("/openapi/v2"):
        raise not_implemented("OpenAPI v2; ask /openapi/v3")
    where = path.removeprefix("/openapi/v3").strip("/")
    index = _paths(catalog)
    if not where:
        places = {key: {"serverRelativeURL": f"/openapi/v3/{key}?hash={catalog.changes}"} for key in index}
        return web.Response(body=msgspec.json.encode({"paths": places}), content_type="application/json")
    if where not in index:
        raise no_such_resource()
    group, version = index[where]
    return web.Response(body=_document(catalog, group, version), content_type="application/json")


def _paths(catalog: Catalog) -> dict[str, tuple[str, str]]:
    found = {}
    for resource in catalog:
        for version in catalog.offered(resource):
            key = f"apis/{resource.group}/{version}" if resource.group else f"api/{version}"
            found[key] = resource.group, version
    return dict(sorted(found.items()))


def _document(catalog: Catalog, group: str, version: str) -> bytes:
    resources = tuple(r for r in catalog if r.group == group and version in catalog.offered(r))
    if any(resource.definition is not None for resource in resources):
        return _encoded(resources, version)
    return _remembered(resources, version)


@lru_cache(maxsize=32)
def _remembered(resources: tuple[Resource, ...], version: str) -> bytes:
    return _encoded(resources, version)


def _encoded(resources: tuple[Resource, ...], version: str) -> bytes:
    schemas: Json = {}
    paths: Json = {}
    for resource in resources:
        gvk = {"group": resource.group, "version": version, "kind": resource.kind}
        schema, name = _schema(resource, version, schemas)
        schemas[name] = {**schema, "x-kubernetes-group-version-kind": [gvk]}
        paths.update(_operations(resource, version, gvk, name))
    return msgspec.json.encode({"openapi": "3.0.0", "info": _INFO, "paths": paths, "components": {"schemas": schemas}})


def _operations(resource: Resource, version: str, gvk: Json, name: str) -> Json:
    root = f"/apis/{resource.group}/{version}" if resource.group else f"/api/{version}"
    space = "/namespaces/{namespace}" if resource.namespaced else ""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    common = {
        "x-kubernetes-group-version-kind": gvk,
        "responses": {"200": {"description": "OK", "content": content}},
    }
    query = [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in _PARAMETERS]
    patches = {"content": {kind: {"schema": {"type": "object"}} for kind in _PATCHES}}
    one = {
        "get": {**common, "x-kubernetes-action": "get"},
        "put": {**common, "x-kubernetes-action": "put", "parameters": query},
        "patch": {**common, "x-kubernetes-action": "patch", "parameters": query, "requestBody": patches},
        "delete": {**common, "x-kubernetes-action": "delete"},
    }
    many = {
        "get": {**common, "x-kubernetes-action": "list"},
        "post": {**common, "x-kubernetes-action": "post", "parameters": query},
    }
    return {f"{root}{space}/{resource.plural}": many, f"{root}{space}/{resource.plural}/{{name}}": one}


def _schema(resource: Resource, version: str, schemas: Json) -> tuple[Json, str]:
    """The schema of a resource's objects; what it refers to goes into `schemas`."""
    if resource.definition is None:
        name = builtin.root(resource, version)
        return _with_references(name, schemas), name
    versions = resource.definition["spec"]["versions"]
    found = next(v["schema"]["openAPIV3Schema"] for v in versions if v["name"] == version)
    properties = {**(found.get("properties") or {}), "metadata": {"allOf": [_reference("v1_object_meta")]}}
    _with_references("v1_object_meta", schemas)
    return {**found, "properties": properties}, ".".join([*reversed(resource.group.split(".")), version, resource.kind])


def _with_references(name: str, schemas: Json) -> Json:
    if name not in schemas:
        schemas[name] = {}
        schemas[name] = _rewritten(builtin.model(name), schemas)
    found: Json = schemas[name]
    return found


def _rewritten(schema: Any, schemas: Json) -> Json:
    result: Json = {}
    for key, value in schema.items():
        if key == "$ref":
            _with_references(value, schemas)
            result["allOf"] = [_reference(value)]
        elif key == "properties":
            result[key] = {name: _rewritten(inner, schemas) for name, inner in value.items()}
        elif key in ("items", "additionalProperties"):
            result[key] = _rewritten(value, schemas)
        else:
            result[key] = value
    return result


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
