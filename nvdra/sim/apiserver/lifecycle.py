"""How objects end: marked, kept by finalizers or a grace period, finished. Pure."""

from typing import Any

from nvdra.sim.apiserver.meta import stamp
from nvdra.sim.apiserver.requests import Deletion
from nvdra.sim.apiserver.resources import Resource
from nvdra.sim.apiserver.status import Flaw, invalid

Json = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
CRD_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_DEFAULT_GRACE = 30
_POLICIES = ("", "Background", "Foreground", "Orphan")


def finished(meta: Json) -> bool:
    """Nothing keeps a deleted object any longer."""
    return "deletionTimestamp" in meta and not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds")


def held(obj: Json) -> bool:
    """A namespace waits until it is empty."""
    return obj.get("kind") == "Namespace" and bool(obj.get("spec", {}).get("finalizers"))


def marked(resource: Resource, obj: Json, how: Deletion, now: float) -> Json:
    """The object with its deletion asked for."""
    if how.policy not in _POLICIES:
        flaw = Flaw("propagationPolicy", f'Unsupported value: "{how.policy}": supported values: {_POLICIES[1:]}')
        raise invalid(resource, obj["metadata"]["name"], [flaw])
    meta = {**obj["metadata"]}
    finalizers = _finalizers(meta.get("finalizers") or [], how.policy, deleting="deletionTimestamp" in meta)
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
    if resource.key == ("apiextensions.k8s.io", "customresourcedefinitions"):
        meta["finalizers"] = [name for name in meta.get("finalizers", []) if name != CRD_CLEANUP]
        meta["finalizers"].append(CRD_CLEANUP)  # its objects go first
    grace = _grace(resource, obj, how)
    if "deletionTimestamp" not in meta or grace < meta.get("deletionGracePeriodSeconds", 0):
        meta["deletionTimestamp"] = stamp(now + grace)
        meta["deletionGracePeriodSeconds"] = grace
        if "generation" in meta:
            meta["generation"] += 1
    result = {**obj, "metadata": meta}
    if resource.key == ("", "namespaces"):
        result["status"] = {**obj.get("status", {}), "phase": "Terminating"}
    return result


def _finalizers(present: list[str], policy: str, *, deleting: bool) -> list[str]:
    if policy == "" or (deleting and policy == "Background"):
        return list(present)
    kept = [name for name in present if name not in (FOREGROUND, ORPHAN)]
    added = {"Foreground": [FOREGROUND], "Orphan": [ORPHAN]}.get(policy, [])
    return kept + added


def _grace(resource: Resource, obj: Json, how: Deletion) -> int:
    """Only pods that run somewhere take their time."""
    if resource.key != ("", "pods"):
        return 0
    spec, phase = obj.get("spec", {}), obj.get("status", {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    if how.grace is not None:
        return max(how.grace, 0)
    return int(spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE))
