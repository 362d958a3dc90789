"""The objects that a ComputeDomain needs, as manifests. Pure. Source: reference-driver.md §4.2."""

import hashlib
import json
from collections.abc import Mapping

from attrs import field, frozen

from nvdra.api import names
from nvdra.api.computedomain import ComputeDomain
from nvdra.api.meta import Meta
from nvdra.api.objects import DaemonSet, NetworkPolicy, Packed
from nvdra.api.quantity import same_amounts
from nvdra.ports import Json

AWAIT_DOOR = f"for _ in {{1..1500}}; do (: >/dev/tcp/$POD_IP/{names.HEALTH_PORT}) 2>/dev/null && exit; sleep 0.02; done"
"""Until the daemon listens, for half a minute at most; then the probes tell what there is."""


@frozen
class DaemonSettings:
    """What the administrator decides about IMEX daemon pods."""

    namespace: str = names.DRIVER_NAMESPACE
    image: str = "nvdra"
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    service_account: str = names.DAEMON_SERVICE_ACCOUNT
    priority_class: str = ""
    requests: Mapping[str, str] = field(factory=lambda: {"cpu": "10m", "memory": "64Mi"})
    max_nodes: int = names.MAX_NODES_PER_IMEX_DOMAIN
    log_level: str = "info"
    resource_version: str = "v1"
    network_policy: bool = True


def workload_template(domain: ComputeDomain, version: str) -> Json:
    """The ResourceClaimTemplate that workloads name: one channel of this domain."""
    parameters = {
        "apiVersion": f"{names.GROUP}/{names.VERSION}",
        "kind": "ComputeDomainChannelConfig",
        "domainID": domain.metadata.uid,
        "allocationMode": domain.spec.channel.allocationMode,
    }
    template = _claim_template(domain, version, "channel", names.CHANNEL_CLASS, parameters)
    template["metadata"] |= {
        "name": domain.spec.channel.resourceClaimTemplate.name,
        "namespace": domain.metadata.namespace,
        "ownerReferences": [
            {
                "apiVersion": f"{names.GROUP}/{names.VERSION}",
                "kind": "ComputeDomain",
                "name": domain.metadata.name,
                "uid": domain.metadata.uid,
            }
        ],
    }
    template["metadata"]["labels"][names.TARGET_LABEL] = "Workload"
    return template


def daemon_template(domain: ComputeDomain, settings: DaemonSettings) -> Json:
    """The ResourceClaimTemplate of the domain's IMEX daemons."""
    parameters = {
        "apiVersion": f"{names.GROUP}/{names.VERSION}",
        "kind": "ComputeDomainDaemonConfig",
        "domainID": domain.metadata.uid,
    }
    template = _claim_template(domain, settings.resource_version, "daemon", names.DAEMON_CLASS, parameters)
    template["metadata"] |= {"name": _name(domain), "namespace": settings.namespace}
    template["spec"]["metadata"]["annotations"][names.NAME_ANNOTATION] = domain.metadata.path
    template["metadata"]["labels"][names.TARGET_LABEL] = "Daemon"
    return template


def daemonset(domain: ComputeDomain, settings: DaemonSettings) -> Json:
    """The DaemonSet whose pods run where this domain's nodes have a fabric."""
    labels = {names.DOMAIN_LABEL: domain.metadata.uid}
    pod = {"metadata": {"labels": labels}, "spec": _pod_spec(domain, settings)}
    pod["metadata"]["annotations"] = {names.TEMPLATE_HASH_ANNOTATION: template_hash(pod)}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": _name(domain),
            "namespace": settings.namespace,
            "labels": labels,
            "annotations": {names.NAME_ANNOTATION: f"{domain.metadata.namespace}/{domain.metadata.name}"},
        },
        "spec": {
            "selector": {"matchLabels": labels},
            # a restarted nvidia-imex invalidates what its peers imported: nothing here ever restarts one
            "updateStrategy": {"type": "OnDelete"},
            "template": pod,
        },
    }


def network_policy(uid: str, owner: DaemonSet) -> Json:
    """Who may reach the domain's daemons: each other on IMEX's ports, which ask for no proof; the health port anybody.

    Of what comes in only: IMEX's connections are cut where they arrive, and the API server, to which daemons go, has
    another address and port in every cluster. The DaemonSet owns it: it goes with it, also where no controller that
    knows of it is left (a rollback, or a release that makes none any more).
    """
    mine = {"matchLabels": {names.DOMAIN_LABEL: uid}}
    imex = [{"protocol": "TCP", "port": port} for port in (names.IMEX_SERVER_PORT, names.IMEX_COMMAND_PORT)]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": owner.metadata.name,
            "namespace": owner.metadata.namespace,
            "labels": {names.DOMAIN_LABEL: uid},
            "ownerReferences": [_owned_by(owner.metadata)],
        },
        "spec": {
            "podSelector": mine,
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": mine}], "ports": imex},
                {"ports": [{"protocol": "TCP", "port": names.HEALTH_PORT}]},  # the kubelet's probes
            ],
        },
    }


def _owned_by(meta: Meta) -> Json:
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": meta.name, "uid": meta.uid}


def admits(existing: NetworkPolicy, wanted: Json) -> bool:
    """Whether it lets in what we want and no more: here one key too many opens a port, or closes all of them."""
    spec = existing.spec.unpacked() if isinstance(existing.spec, Packed) else existing.spec
    return all(spec.get(part) == value for part, value in wanted["spec"].items())


def template_hash(pod: Json) -> str:
    """Tells one pod template from another."""
    return hashlib.sha256(json.dumps(pod, sort_keys=True).encode()).hexdigest()[:12]


def wanted_hash(daemon_set: Json) -> str:
    """The hash that pods of this DaemonSet carry."""
    return str(daemon_set["spec"]["template"]["metadata"]["annotations"][names.TEMPLATE_HASH_ANNOTATION])


def is_of(spec: Mapping[str, object], hash_: str) -> bool:
    """Whether a DaemonSet's pod template was made as the one with this hash."""
    marks = {"template": {"metadata": {"annotations": {names.TEMPLATE_HASH_ANNOTATION: hash_}}}}
    return covers(dict(spec), marks)


def _name(domain: ComputeDomain) -> str:
    return names.daemonset_name(domain.metadata.name, domain.metadata.uid)


def _claim_template(domain: ComputeDomain, version: str, request: str, device_class: str, parameters: Json) -> Json:
    exactly = {"deviceClassName": device_class}
    # v1beta1 writes the request flat (dra-protocol.md §5.2)
    wanted = {"name": request, **exactly} if version == "v1beta1" else {"name": request, "exactly": exactly}
    return {
        "apiVersion": f"resource.k8s.io/{version}",
        "kind": "ResourceClaimTemplate",
        "metadata": {"labels": {names.DOMAIN_LABEL: domain.metadata.uid}},
        "spec": {
            "metadata": {
                "labels": {names.DOMAIN_LABEL: domain.metadata.uid},
                "annotations": {names.NAME_ANNOTATION: domain.metadata.name},
            },
            "spec": {
                "devices": {
                    "requests": [wanted],
                    "config": [
                        {"requests": [request], "opaque": {"driver": names.CD_DRIVER, "parameters": parameters}}
                    ],
                }
            },
        },
    }


def _pod_spec(domain: ComputeDomain, settings: DaemonSettings) -> Json:
    spec: Json = {
        "serviceAccountName": settings.service_account,
        "nodeSelector": {names.DOMAIN_LABEL: domain.metadata.uid},
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": names.CLIQUE_LABEL, "operator": "Exists"}]}]
                }
            }
        },
        "tolerations": [
            {"operator": "Exists", "effect": effect} for effect in ("NoSchedule", "NoExecute", "PreferNoSchedule")
        ],
        "terminationGracePeriodSeconds": 30,
        "containers": [_container(domain, settings)],
        "resourceClaims": [{"name": names.DAEMON_CONTAINER, "resourceClaimTemplateName": _name(domain)}],
    }
    if settings.priority_class:
        spec["priorityClassName"] = settings.priority_class
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    return spec


def _container(domain: ComputeDomain, settings: DaemonSettings) -> Json:
    downward = {
        "NODE_NAME": "spec.nodeName",
        "POD_IP": "status.podIP",
        "POD_UID": "metadata.uid",
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
    }
    fixed = {
        "NVIDIA_VISIBLE_DEVICES": "void",  # a node whose default runtime is nvidia would inject all GPUs (#402)
        "MAX_NODES_PER_IMEX_DOMAIN": str(settings.max_nodes),
        "COMPUTE_DOMAIN_NUM_NODES": str(domain.spec.numNodes),  # drivers that know no names need all addresses
        "LOG_LEVEL": settings.log_level,
    }
    return {
        "name": names.DAEMON_CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["nvdra", "imex-daemon", "run"],
        "env": [
            *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in downward.items()),
            *({"name": name, "value": value} for name, value in fixed.items()),
        ],
        "resources": {
            "requests": dict(settings.requests),
            "claims": [{"name": names.DAEMON_CONTAINER}],
        },
        # The daemon holds a probe until IMEX is ready, and the kubelet passes a readiness on at once. After a start-up
        # probe it would first wait for its next look at all containers, up to a second; so there is none. The hook is
        # for the first probe, which comes 10 ms after the start and would be turned away.
        "lifecycle": {"postStart": {"exec": {"command": ["bash", "-c", AWAIT_DOOR]}}},
        "readinessProbe": _probe("/readyz/wait", period=1, limit=60, failures=1),
        "livenessProbe": _probe("/livez", period=60, limit=10, failures=20),
    }


def _probe(path: str, *, period: int, limit: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": names.HEALTH_PORT},
        "periodSeconds": period,
        "timeoutSeconds": limit,
        "failureThreshold": failures,
    }


def covers(existing: object, wanted: object) -> bool:
    """Whether everything we want is there. What others added, and the server's defaults, do not count as drift."""
    if isinstance(existing, Packed):
        return covers(existing.unpacked(), wanted)
    if isinstance(wanted, dict):
        return isinstance(existing, dict) and all(
            key in existing
            and (covers(existing[key], value) or (key == "requests" and same_amounts(existing[key], value)))
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(existing, list) and _covers_list(existing, wanted)
    return existing == wanted


def _covers_list(existing: list[object], wanted: list[object]) -> bool:
    if all(isinstance(item, dict) and "name" in item for item in wanted):
        by_name = {item.get("name"): item for item in existing if isinstance(item, dict)}
        return all(isinstance(item, dict) and covers(by_name.get(item["name"]), item) for item in wanted)
    return len(existing) == len(wanted) and all(covers(a, b) for a, b in zip(existing, wanted, strict=True))
