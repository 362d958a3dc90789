"""The driver installed by plain manifests: for what the Helm chart cannot be blamed for, or has to be compared with."""

from typing import Any

from nvdra.api import names
from nvdra.sim import manifests

from .image import NAME

Json = dict[str, Any]
DRIVER_ROOT = "/run/nvidia/driver"
CONTROLLER, PLUGIN = "nvidia-dra-driver-k8s-dra-driver-controller", "nvidia-dra-driver-k8s-dra-driver-kubelet-plugin"
COMPONENT = "nvidia-dra-driver-gpu-component"
OURS = [names.GROUP]
DRA = ["resource.k8s.io"]
ALL = ["get", "list", "watch", "create", "update", "patch", "delete"]
READ = ["get", "list", "watch"]
RULES: dict[str, list[Json]] = {
    CONTROLLER: [
        {"apiGroups": OURS, "resources": ["*"], "verbs": ALL},
        {"apiGroups": DRA, "resources": ["resourceclaimtemplates", "resourceclaims"], "verbs": ALL},
        {"apiGroups": DRA, "resources": ["resourceslices"], "verbs": READ},
        {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ALL},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ALL},
        {"apiGroups": [""], "resources": ["nodes", "pods", "events"], "verbs": ALL},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ALL},
    ],
    PLUGIN: [
        {"apiGroups": OURS, "resources": ["*"], "verbs": READ},
        {"apiGroups": DRA, "resources": ["resourceclaims"], "verbs": READ},
        {"apiGroups": DRA, "resources": ["resourceslices"], "verbs": ALL},
        {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": [*READ, "patch"]},
        {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    ],
    names.DAEMON_SERVICE_ACCOUNT: [{"apiGroups": OURS, "resources": ["*"], "verbs": READ}],
}


def everything(version: str = "v1", replicas: int = 1) -> list[Json]:
    """All objects of the driver, in the order in which they may be created."""
    return [
        manifests.namespace(names.DRIVER_NAMESPACE),
        *manifests.crds(),
        *(_device_class(found, version) for found in manifests.device_classes()),
        *(found for account in RULES for found in _account(account)),
        controller(replicas),
        plugin(),
    ]


def controller(replicas: int) -> Json:
    """The controller's Deployment."""
    container = {
        "name": "compute-domain",
        "image": NAME,
        "imagePullPolicy": "Never",
        "command": ["nvdra", "controller", "--leader-election-enabled", "--http-endpoint=:8080"],
        "env": [_field("POD_NAME", "metadata.name"), {"name": "IMAGE_NAME", "value": NAME}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1},
    }
    labels = {COMPONENT: "controller"}
    pod = {"serviceAccountName": CONTROLLER, "containers": [container]}
    return {
        **_named("apps/v1", "Deployment", CONTROLLER),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def plugin() -> Json:
    """The plugin's DaemonSet: privileged, with the host's folders that it works in."""
    container = {
        "name": "compute-domains",
        "image": NAME,
        "imagePullPolicy": "Never",
        "command": ["nvdra", "kubelet-plugin", f"--nvidia-driver-root={DRIVER_ROOT}", "--dev-root=/host", "--http-endpoint=:8081",
                    "--alt-proc-devices-path=/driver-root/proc/devices"],
        "env": [_field("NODE_NAME", "spec.nodeName"), _field("POD_UID", "metadata.uid")],
        "securityContext": {"privileged": True},
        "volumeMounts": [
            {"name": "registry", "mountPath": "/var/lib/kubelet/plugins_registry"},
            {"name": "plugins", "mountPath": "/var/lib/kubelet/plugins"},
            {"name": "cdi", "mountPath": "/var/run/cdi"},
            {"name": "driver", "mountPath": "/driver-root", "readOnly": True, "mountPropagation": "HostToContainer"},
            {"name": "dev", "mountPath": "/host/dev"},
        ],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8081}, "periodSeconds": 1},
    }  # fmt: skip
    volumes = [
        _host("registry", "/var/lib/kubelet/plugins_registry"),
        _host("plugins", "/var/lib/kubelet/plugins"),
        _host("cdi", "/var/run/cdi"),
        _host("driver", DRIVER_ROOT),
        _host("dev", "/dev"),
    ]
    labels = {COMPONENT: "kubelet-plugin"}
    pod = {
        "serviceAccountName": PLUGIN,
        "nodeSelector": {"nvidia.com/gpu.present": "true"},
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": volumes,
    }
    return {
        **_named("apps/v1", "DaemonSet", PLUGIN),
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def _account(name: str) -> list[Json]:
    """A service account with a role of its own."""
    subject = {"kind": "ServiceAccount", "name": name, "namespace": names.DRIVER_NAMESPACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    return [
        _named("v1", "ServiceAccount", name),
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": RULES[name],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": role,
            "subjects": [subject],
        },
    ]


def _device_class(found: Json, version: str) -> Json:
    return {**found, "apiVersion": f"resource.k8s.io/{version}"}


def _named(version: str, kind: str, name: str) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": names.DRIVER_NAMESPACE}}


def _field(name: str, path: str) -> Json:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _host(name: str, path: str) -> Json:
    return {"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}}
