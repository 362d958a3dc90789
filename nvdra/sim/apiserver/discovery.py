"""What there is, for clients that ask before they act: versions, groups, resources, health."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from aiohttp import web

from nvdra.sim.apiserver import openapi
from nvdra.sim.apiserver.resources import Resource
from nvdra.sim.apiserver.status import no_such_resource, not_implemented
from nvdra.sim.apiserver.store import ObjectStore

Json = dict[str, Any]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_HEALTH = ("/healthz", "/readyz", "/livez", "/healthz/ping")
VERSIONS = {"v1": "v1.36.0", "v1beta2": "v1.33.0", "v1beta1": "v1.32.0"}
"""Which Kubernetes offers that resource.k8s.io at best: what /version says."""


def answer(store: ObjectStore, request: web.Request) -> web.Response:
    """Answer a path that is not a resource's."""
    path = request.path.rstrip("/") or "/"
    if path in _HEALTH:
        return web.Response(text="ok")
    if path.startswith("/openapi/"):
        return openapi.answer(store.catalog, path)
    parts = path.split("/")[1:]
    found = _document(store, parts, request)
    if found is None:
        raise no_such_resource()
    kind = AGGREGATED if found.get("kind") == "APIGroupDiscoveryList" else "application/json"
    return web.Response(body=msgspec.json.encode(found), headers={"Content-Type": kind})


def _document(store: ObjectStore, parts: list[str], request: web.Request) -> Json | None:
    aggregated = "as=APIGroupDiscoveryList" in request.headers.get("Accept", "")
    match parts:
        case ["sim", "counters"]:
            return store.counters.snapshot().json()
        case ["version"]:
            return _version(store)
        case ["api"]:
            return _groups_v2(store, core=True) if aggregated else _core(request.host)
        case ["apis"]:
            return _groups_v2(store, core=False) if aggregated else _all_groups(store)
        case ["apis", group] if group in _groups(store):
            return {"apiVersion": "v1", **_group(store, group), "kind": "APIGroup"}
        case ["api", version]:
            return _resources(store, "", version)
        case ["apis", group, version]:
            return _resources(store, group, version)
        case ["metrics"] | ["logs", *_] | ["debug", *_]:
            raise not_implemented(f"/{parts[0]}")
        case [""]:
            return {"paths": ["/api", "/apis", *_HEALTH, "/openapi/v3", "/sim/counters", "/version"]}
    return None


def _core(host: str) -> Json:
    address = [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": address}


def _all_groups(store: ObjectStore) -> Json:
    groups = [_group(store, name) for name in _groups(store) if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _version(store: ObjectStore) -> Json:
    full = VERSIONS.get(next(iter(store.resource_api), ""), VERSIONS["v1"])
    major, minor, _ = full[1:].split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{full}+nvdra-sim",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "linux/amd64",
    }


def _groups(store: ObjectStore) -> list[str]:
    return sorted({resource.group for resource in store.catalog if store.catalog.offered(resource)})


def _versions(store: ObjectStore, group: str) -> list[str]:
    offered = (
        version for resource in store.catalog if resource.group == group for version in store.catalog.offered(resource)
    )
    return list(dict.fromkeys(offered))


def _group(store: ObjectStore, name: str) -> Json:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in _versions(store, name)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _of(store: ObjectStore, group: str, version: str) -> list[Resource]:
    return [r for r in store.catalog if r.group == group and version in store.catalog.offered(r)]


def _resources(store: ObjectStore, group: str, version: str) -> Json | None:
    found = _of(store, group, version)
    if not found:
        return None
    rows = [row for resource in found for row in _rows(resource)]
    api_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": rows}


def _rows(resource: Resource) -> Iterable[Json]:
    row: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(_VERBS),
    }
    if resource.short:
        row["shortNames"] = list(resource.short)
    if resource.categories:
        row["categories"] = list(resource.categories)
    yield row
    for name, kind, verbs in _subresources(resource):
        yield {
            "name": f"{resource.plural}/{name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": kind,
            "verbs": verbs,
        }


def _subresources(resource: Resource) -> Iterable[tuple[str, str, list[str]]]:
    if resource.status:
        yield "status", resource.kind, ["get", "patch", "update"]
    kinds = {
        "log": ("Pod", ["get"]),
        "exec": ("PodExecOptions", ["create", "get"]),
        "binding": ("Binding", ["create"]),
        "eviction": ("Eviction", ["create"]),
    }
    for name in resource.subresources:
        yield name, *kinds.get(name, (resource.kind, ["update"]))


def _groups_v2(store: ObjectStore, *, core: bool) -> Json:
    items = [_group_v2(store, name) for name in _groups(store) if core == (name == "")]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _group_v2(store: ObjectStore, name: str) -> Json:
    versions = [
        {
            "version": version,
            "freshness": "Current",
            "resources": [_row_v2(r, version) for r in _of(store, name, version)],
        }
        for version in _versions(store, name)
    ]
    return {
        "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
        "versions": versions,
    }


def _row_v2(resource: Resource, version: str) -> Json:
    kind: Callable[[str], Json] = lambda word: {"group": resource.group, "version": version, "kind": word}  # noqa: E731
    row: Json = {
        "resource": resource.plural,
        "responseKind": kind(resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(_VERBS),
    }
    if resource.short:
        row["shortNames"] = list(resource.short)
    if resource.categories:
        row["categories"] = list(resource.categories)
    subresources = [
        {"subresource": name, "responseKind": kind(word), "verbs": verbs}
        for name, word, verbs in _subresources(resource)
    ]
    return {**row, "subresources": subresources} if subresources else row
