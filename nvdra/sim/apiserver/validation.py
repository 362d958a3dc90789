"""Rules of the built-in kinds that clients run into, chiefly what must not change. One table of all of them."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nvdra.sim.apiserver import devices
from nvdra.sim.apiserver.checks import immutable, named_once, required
from nvdra.sim.apiserver.status import Flaw

Json = dict[str, Any]
Rule = Callable[[Json, Json | None], Iterator[Flaw]]


def workload(new: Json, old: Json | None) -> Iterator[Flaw]:
    """DaemonSets, Deployments, ReplicaSets: the selector stays and selects the template."""
    spec = new.get("spec") or {}
    if old is not None:
        yield from immutable("spec.selector", spec.get("selector"), (old.get("spec") or {}).get("selector"))
    yield from required("spec.selector", spec.get("selector"))
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        yield Flaw(
            "spec.template.metadata.labels",
            f"Invalid value: {json.dumps(labels)}: `selector` does not match template `labels`",
        )
    yield from _containers(((spec.get("template") or {}).get("spec") or {}), "spec.template.spec")


def job(new: Json, old: Json | None) -> Iterator[Flaw]:
    """Jobs: selector and template stay."""
    spec = new.get("spec") or {}
    if old is not None:
        for part in ("selector", "completionMode", "template"):
            yield from immutable(f"spec.{part}", spec.get(part), (old.get("spec") or {}).get(part))
    yield from _containers((spec.get("template") or {}).get("spec") or {}, "spec.template.spec")


def _containers(spec: Json, path: str) -> Iterator[Flaw]:
    containers = spec.get("containers") or []
    yield from required(f"{path}.containers", containers)
    for index, container in enumerate(containers):
        yield from required(f"{path}.containers[{index}].name", container.get("name"))
    yield from named_once(f"{path}.containers", [*containers, *(spec.get("initContainers") or [])])
    claims = spec.get("resourceClaims") or []
    yield from named_once(f"{path}.resourceClaims", claims)
    for index, claimed in enumerate(claims):
        if bool(claimed.get("resourceClaimName")) == bool(claimed.get("resourceClaimTemplateName")):
            yield Flaw(
                f"{path}.resourceClaims[{index}]",
                "Invalid value: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            )
    known = {claimed.get("name") for claimed in claims}
    for index, container in enumerate(containers):
        for wanted in ((container.get("resources") or {}).get("claims")) or []:
            if wanted.get("name") not in known:
                yield Flaw(
                    f"{path}.containers[{index}].resources.claims",
                    f'Not found: "{wanted.get("name")}"',
                    "FieldValueNotFound",
                )


_POD_MAY_CHANGE = (
    "nodeName",
    "tolerations",
    "activeDeadlineSeconds",
    "terminationGracePeriodSeconds",
    "schedulingGates",
)


def pod(new: Json, old: Json | None) -> Iterator[Flaw]:
    """Pods: what runs stays as it is, but for images and a few fields; a node is given once."""
    spec = new.get("spec") or {}
    if old is None:
        yield from _containers(spec, "spec")
        return
    before = old.get("spec") or {}
    if spec == before:
        return
    if before.get("nodeName") and spec.get("nodeName") != before["nodeName"]:
        yield Flaw(
            "spec.nodeName", f'Forbidden: the pod runs on "{before["nodeName"]}" and stays there', "FieldValueForbidden"
        )
    if _fixed(spec) != _fixed(before):
        words = "pod updates may not change other fields than images, activeDeadlineSeconds and tolerations"
        yield Flaw("spec", f"Forbidden: {words}", "FieldValueForbidden")


def _fixed(spec: Mapping[str, Any]) -> Json:
    fixed = {key: value for key, value in spec.items() if key not in _POD_MAY_CHANGE}
    for part in ("containers", "initContainers"):
        fixed[part] = [{k: v for k, v in c.items() if k != "image"} for c in spec.get(part) or []]
    return fixed


def secret_like(new: Json, old: Json | None) -> Iterator[Flaw]:
    """ConfigMaps and Secrets that said that they are immutable."""
    if old is not None and old.get("immutable"):
        for part in ("data", "binaryData", "stringData"):
            yield from immutable(part, new.get(part), old.get(part))


RULES: Mapping[tuple[str, str], Rule] = {
    ("apps", "daemonsets"): workload,
    ("apps", "deployments"): workload,
    ("apps", "replicasets"): workload,
    ("batch", "jobs"): job,
    ("", "pods"): pod,
    ("", "configmaps"): secret_like,
    ("", "secrets"): secret_like,
    ("resource.k8s.io", "resourceclaims"): devices.claim,
    ("resource.k8s.io", "resourceclaimtemplates"): devices.claim_template,
    ("resource.k8s.io", "deviceclasses"): devices.device_class,
    ("resource.k8s.io", "resourceslices"): devices.resource_slice,
}
