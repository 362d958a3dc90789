"""From what a client sent to what is stored: status kept apart, defaults, generation, validation."""

from typing import Any

from nvdra.sim.apiserver import meta, strategies
from nvdra.sim.apiserver.custom import Definitions
from nvdra.sim.apiserver.requests import Writing
from nvdra.sim.apiserver.resources import Ref, Resource
from nvdra.sim.apiserver.status import Flaw, bad_request, invalid

Json = dict[str, Any]

_KEEPS_STATUS = frozenset(
    {("", "nodes"), ("", "namespaces"), ("", "services"), ("apiextensions.k8s.io", "customresourcedefinitions")}
)
"""Created with the status that the client sent, or with one that the server makes."""
_STATUS_WRITES_METADATA = frozenset({("", "nodes"), ("", "pods")})
"""Labels and annotations may be changed through their status subresource."""


def check_kind(ref: Ref, body: Json) -> None:
    """The body is of the kind that the path says."""
    if not isinstance(body, dict):
        raise bad_request("the body of the request must be an object")
    wanted = ref.resource.api_version(ref.version)
    if "/" in ref.version:
        wanted = ref.version
    said = body.setdefault("apiVersion", wanted), body.setdefault("kind", ref.resource.kind)
    if said != (wanted, ref.resource.kind):
        told = f"{said[0]}, Kind={said[1]}"
        raise bad_request(
            f"the API version and kind of the data ({told}) do not match the expected "
            f"({wanted}, Kind={ref.resource.kind})"
        )


def created(resource: Resource, obj: Json, definitions: Definitions, how: Writing) -> Json:
    """A new object, ready to get its uid. Its metadata has name and namespace already."""
    if resource.status and resource.key not in _KEEPS_STATUS:
        obj.pop("status", None)
    obj = definitions.shaped(resource, obj, how)
    strategies.default(resource, obj)
    flaws = meta.flaws(resource, obj["metadata"])
    flaws += definitions.flaws(resource, obj, None)
    flaws += strategies.flaws(resource, obj, None)
    if flaws:
        raise invalid(resource, obj["metadata"].get("name", ""), flaws)
    return obj


def updated(ref: Ref, new: Json, old: Json, definitions: Definitions, how: Writing) -> Json:
    """The next version of an object, still with the old resourceVersion; equal to `old` when nothing changed."""
    resource = ref.resource
    new = _apart(ref, new, old)
    new["metadata"] = meta.carried(new["metadata"], old["metadata"])
    new = definitions.shaped(resource, new, how)
    strategies.default(resource, new, old)
    flaws = _changed_meta_flaws(resource, new["metadata"], old["metadata"])
    flaws += definitions.flaws(resource, new, old)
    flaws += strategies.flaws(resource, new, old)
    if flaws:
        raise invalid(resource, old["metadata"]["name"], flaws)
    meta.check_finalizers(resource, new["metadata"], old["metadata"])
    if resource.generation and _essence(resource, new) != _essence(resource, old):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    return new


def _changed_meta_flaws(resource: Resource, new: Json, old: Json) -> list[Flaw]:
    changed = any(new.get(part) != old.get(part) for part in ("labels", "annotations", "ownerReferences"))
    return meta.flaws(resource, new) if changed else []


def _apart(ref: Ref, new: Json, old: Json) -> Json:
    """Only the status through /status, everything else through the object itself."""
    if not ref.resource.status:
        return dict(new)
    if ref.subresource == "status":
        result = {**old}
        if "status" in new:
            result["status"] = new["status"]
        else:
            result.pop("status", None)
        if ref.resource.key in _STATUS_WRITES_METADATA:
            result["metadata"] = new["metadata"]
        elif "managedFields" in new["metadata"]:
            result["metadata"] = {**old["metadata"], "managedFields": new["metadata"]["managedFields"]}
        return result
    result = {**new}
    result.pop("status", None)
    if "status" in old:
        result["status"] = old["status"]
    return result


def _essence(resource: Resource, obj: Json) -> Json:
    """What counts for the generation."""
    if resource.definition is None:
        return {"spec": obj.get("spec")}
    left_out = {"metadata", "status"} if resource.status else {"metadata"}
    return {key: value for key, value in obj.items() if key not in left_out}
