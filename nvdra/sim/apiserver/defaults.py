"""Defaults of the built-in kinds, as far as clients can see them. Functions fill in a copy that belongs to them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]


def pod_spec(spec: Json) -> None:
    """Of a pod or of a pod template."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    if "serviceAccountName" in spec:
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for part in ("containers", "initContainers"):
        for container in spec.get(part) or []:
            _container(container)


def _container(container: Json) -> None:
    image = str(container.get("image", ""))
    latest = "@" not in image and (image.endswith(":latest") or ":" not in image.rpartition("/")[2])
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or []:
        if (variable.get("valueFrom") or {}).get("fieldRef"):
            variable["valueFrom"]["fieldRef"].setdefault("apiVersion", "v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name):
            _probe(container[name])


def _probe(probe: Json) -> None:
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        probe.setdefault(name, value)
    if probe.get("httpGet"):
        probe["httpGet"].setdefault("scheme", "HTTP")
        probe["httpGet"].setdefault("path", "/")


def _pod(obj: Json) -> None:
    pod_spec(obj["spec"])
    obj["spec"].setdefault("serviceAccountName", "default")
    obj["spec"].setdefault("serviceAccount", obj["spec"]["serviceAccountName"])
    obj["spec"].setdefault("enableServiceLinks", True)
    obj["spec"].setdefault("preemptionPolicy", "PreemptLowerPriority")
    obj["spec"].setdefault("priority", 0)
    _tolerate(obj["spec"])
    obj.setdefault("status", {"phase": "Pending", "qosClass": _quality(obj["spec"])})


def _tolerate(spec: Json) -> None:
    """Five minutes on a node that is not ready or cannot be reached, unless the pod says otherwise."""
    told = spec.get("tolerations") or []
    for key in (f"node.kubernetes.io/{word}" for word in ("not-ready", "unreachable")):
        if not any(t.get("key", key) == key and t.get("effect", "NoExecute") == "NoExecute" for t in told):
            more = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            spec["tolerations"] = [*(spec.get("tolerations") or []), more]


def _quality(spec: Json) -> str:
    wants = [c.get("resources") or {} for c in spec.get("containers") or []]
    if not any(want.get("limits") or want.get("requests") for want in wants):
        return "BestEffort"
    same = all(
        {"cpu", "memory"} <= set(want.get("limits") or {}) and want.get("requests", want["limits"]) == want["limits"]
        for want in wants
    )
    return "Guaranteed" if same else "Burstable"


def _template(obj: Json) -> None:
    template = obj["spec"].get("template")
    if isinstance(template, dict):
        template.setdefault("metadata", {"creationTimestamp": None})
        pod_spec(template.setdefault("spec", {}))


def _daemon_set(obj: Json) -> None:
    _template(obj)
    spec = obj["spec"]
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {"maxUnavailable": 1, "maxSurge": 0})
    spec.setdefault("revisionHistoryLimit", 10)
    obj.setdefault(
        "status", {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}
    )


def _replicas(obj: Json) -> None:
    _template(obj)
    obj["spec"].setdefault("replicas", 1)
    obj.setdefault("status", {})


def _job(obj: Json) -> None:
    _template(obj)
    spec = obj["spec"]
    for name, value in (("parallelism", 1), ("backoffLimit", 6), ("completionMode", "NonIndexed"), ("suspend", False)):
        spec.setdefault(name, value)
    spec.setdefault("completions", 1)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    obj.setdefault("status", {})


def job_selector(obj: Json) -> None:
    """A Job's own uid is in its selector and in its pods' labels: `kubectl logs job/NAME` finds them by it."""
    spec, meta = obj["spec"], obj["metadata"]
    if spec.get("manualSelector") or "selector" in spec:
        return
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": meta["uid"]}}
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    mine = {"controller-uid": meta["uid"], "job-name": meta["name"]}
    labels.update(mine | {f"batch.kubernetes.io/{key}": value for key, value in mine.items()})


def _namespace(obj: Json) -> None:
    obj["metadata"]["labels"] = {
        **(obj["metadata"].get("labels") or {}),
        "kubernetes.io/metadata.name": obj["metadata"]["name"],
    }
    obj["spec"].setdefault("finalizers", ["kubernetes"])
    obj.setdefault("status", {"phase": "Active"})


def _service(obj: Json) -> None:
    spec = obj["spec"]
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    obj.setdefault("status", {"loadBalancer": {}})


def _network_policy(obj: Json) -> None:
    spec = obj["spec"]
    for rule in [*(spec.get("ingress") or []), *(spec.get("egress") or [])]:
        for port in rule.get("ports") or []:
            port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else ())]


def _claim_spec(spec: Json) -> None:
    for request in (spec.get("devices") or {}).get("requests") or []:
        for part in (request.get("exactly"), *(request.get("firstAvailable") or [])):
            if not isinstance(part, dict):
                continue
            part["allocationMode"] = part.get("allocationMode") or "ExactCount"
            if part["allocationMode"] == "ExactCount":
                part["count"] = part.get("count") or 1
            for toleration in part.get("tolerations") or []:
                toleration["operator"] = toleration.get("operator") or "Equal"


def _claim(obj: Json) -> None:
    _claim_spec(obj["spec"])
    obj.setdefault("status", {})


def _claim_template(obj: Json) -> None:
    _claim_spec(obj["spec"].get("spec") or {})


def _slice(obj: Json) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for device in obj["spec"].get("devices") or []:
        for taint in device.get("taints") or []:
            taint.setdefault("timeAdded", now)


def _definition(obj: Json) -> None:
    spec = obj["spec"]
    names = spec.get("names")
    if not isinstance(names, dict) or not names.get("kind"):
        return
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = (
        ("NamesAccepted", "NoConflicts", "no conflicts found"),
        ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    )
    conditions = [
        {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}
        for kind, reason, message in told
    ]
    stored = [version["name"] for version in spec.get("versions") or [] if version.get("storage")]
    before = (obj.get("status") or {}).get("conditions")
    obj["status"] = {"conditions": before or conditions, "acceptedNames": dict(names), "storedVersions": stored}


def _secret(obj: Json) -> None:
    del obj["spec"]
    obj.setdefault("type", "Opaque")


def _node(obj: Json) -> None:
    obj.setdefault("status", {})


DEFAULTS: Mapping[tuple[str, str], Callable[[Json], None]] = {
    ("", "pods"): _pod,
    ("", "namespaces"): _namespace,
    ("", "nodes"): _node,
    ("", "services"): _service,
    ("", "secrets"): _secret,
    ("apps", "daemonsets"): _daemon_set,
    ("apps", "deployments"): _replicas,
    ("apps", "replicasets"): _replicas,
    ("batch", "jobs"): _job,
    ("networking.k8s.io", "networkpolicies"): _network_policy,
    ("resource.k8s.io", "resourceclaims"): _claim,
    ("resource.k8s.io", "resourceclaimtemplates"): _claim_template,
    ("resource.k8s.io", "resourceslices"): _slice,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _definition,
}
