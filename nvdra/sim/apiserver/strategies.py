"""What the built-in kinds add: defaults on the way in and their own rules. Tables, a function a kind."""

from typing import Any

from nvdra.sim.apiserver.custom import definition_flaws
from nvdra.sim.apiserver.defaults import DEFAULTS, job_selector
from nvdra.sim.apiserver.patches import clone
from nvdra.sim.apiserver.resources import Resource
from nvdra.sim.apiserver.status import Flaw
from nvdra.sim.apiserver.validation import RULES

Json = dict[str, Any]
_CLAIMS = ("resource.k8s.io", "resourceclaims")


def default(resource: Resource, obj: Json, old: Json | None = None) -> None:
    """Fill in what the real server would fill in; a claim that is given back loses what was told of its devices."""
    status = obj.get("status") or {}
    if resource.key == _CLAIMS and "devices" in status and not status.get("allocation"):
        obj["status"] = {key: value for key, value in status.items() if key != "devices"}
    fill = DEFAULTS.get(resource.key)
    if fill is None or (old is not None and obj.get("spec") == old.get("spec")):
        return
    obj["spec"] = clone(obj.get("spec") or {})
    fill(obj)


def named(resource: Resource, obj: Json) -> None:
    """Fill in what needs the new object's uid."""
    if resource.key == ("batch", "jobs"):
        job_selector(obj)


def flaws(resource: Resource, new: Json, old: Json | None) -> list[Flaw]:
    """What the kind's own rules say against it."""
    if resource.key == ("apiextensions.k8s.io", "customresourcedefinitions"):
        return definition_flaws(new)
    rule = RULES.get(resource.key)
    return list(rule(new, old)) if rule is not None else []
