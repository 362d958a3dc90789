"""What is installed on a rack before users come: namespaces, CRDs, DeviceClasses, the driver's own pods."""

from pathlib import Path
from typing import Any

import yaml

import nvdra
from nvdra.api import names

Json = dict[str, Any]


def shipped(folder: str, development: str) -> Path:
    """A folder of files that came in the wheel, or its place in a checkout."""
    package = Path(nvdra.__file__).parent
    installed = package / folder
    return installed if installed.is_dir() else package.parent / development


def crds() -> list[Json]:
    """ComputeDomain and ComputeDomainClique, as the chart installs them."""
    files = sorted(shipped("_crds", "chart/crds").glob("*.yaml"))
    return [body for file in files for body in yaml.safe_load_all(file.read_text()) if body]


def example(name: str) -> Path:
    """A manifest of the user guide."""
    return shipped("_examples", "examples") / f"{name}.yaml"


def namespace(name: str) -> Json:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def device_class(name: str, expression: str) -> Json:
    """A DeviceClass of our driver."""
    selector = f"device.driver == '{names.CD_DRIVER}' && {expression}"
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": name},
        "spec": {"selectors": [{"cel": {"expression": selector}}]},
    }


def device_classes() -> list[Json]:
    """Source: reference-driver.md §6.8."""
    of = f"device.attributes['{names.CD_DRIVER}']"
    return [
        device_class(names.DAEMON_CLASS, f"{of}.type == 'daemon'"),
        device_class(names.CHANNEL_CLASS, f"{of}.type == 'channel' && {of}.id == 0"),
    ]


def worker(name: str, node: str, template: str) -> Json:
    """A pod on that node that holds a channel of the workload template, and stays."""
    container = {
        "name": "worker",
        "image": "worker",
        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 9999 & wait"],
        "resources": {"claims": [{"name": "channel"}]},
    }
    claim = {"name": "channel", "resourceClaimTemplateName": template}
    spec = {"nodeSelector": {"kubernetes.io/hostname": node}, "containers": [container], "resourceClaims": [claim]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def controller_pod(max_nodes: int) -> Json:
    """The controller: a bare pod, as the rack has no Deployments."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "nvidia-dra-driver-k8s-dra-driver-controller",
            "namespace": names.DRIVER_NAMESPACE,
            "labels": {"nvidia-dra-driver-gpu-component": "controller"},
        },
        "spec": {
            "restartPolicy": "Always",
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": "compute-domain",
                    "image": "nvdra",
                    "command": ["nvdra", "controller"],
                    "env": [
                        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "MAX_NODES_PER_IMEX_DOMAIN", "value": str(max_nodes)},
                    ],
                }
            ],
        },
    }


def plugin_daemonset() -> Json:
    """The plugin on every node with GPUs."""
    labels = {"nvidia-dra-driver-gpu-component": "kubelet-plugin"}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": "nvidia-dra-driver-k8s-dra-driver-kubelet-plugin",
            "namespace": names.DRIVER_NAMESPACE,
            "labels": labels,
        },
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"nvidia.com/gpu.present": "true"},
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [
                        {
                            "name": "compute-domains",
                            "image": "nvdra",
                            "command": ["nvdra", "kubelet-plugin"],
                            "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                        }
                    ],
                },
            },
        },
    }
