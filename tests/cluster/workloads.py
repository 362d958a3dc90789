"""Workers of a ComputeDomain, one a node, as users write them."""

from typing import Any

from nvdra.api import names

from .image import WORKLOAD

Json = dict[str, Any]
SCRIPT = "ls -la /dev/nvidia-caps-imex-channels; trap 'exit 0' TERM; sleep 9999 & wait"


def domain(name: str, nodes: int | None, namespace: str = "default", mode: str = "") -> Json:
    """A ComputeDomain whose claim template has its own name. No `nodes`: without numNodes; `mode` All: all channels."""
    channel = {"resourceClaimTemplate": {"name": name}, **({"allocationMode": mode} if mode else {})}
    return {
        "apiVersion": f"{names.GROUP}/{names.VERSION}",
        "kind": "ComputeDomain",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**({} if nodes is None else {"numNodes": nodes}), "channel": channel},
    }


def worker(domain_name: str, node: int, script: str = SCRIPT, namespace: str = "default") -> Json:
    """A pod that needs a channel of that domain, on that node."""
    container = {
        "name": "ctr",
        "image": WORKLOAD,
        "imagePullPolicy": "IfNotPresent",
        "command": ["bash", "-c", script],
        "resources": {"claims": [{"name": "channel"}]},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{domain_name}-{node}", "namespace": namespace},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": f"node-{node}"},
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "containers": [container],
            "resourceClaims": [{"name": "channel", "resourceClaimTemplateName": domain_name}],
        },
    }


def job(domain_name: str, node: int, script: str) -> Json:
    """A Job of one pod like the worker's, which ends when the script does."""
    spec = worker(domain_name, node, script)["spec"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{domain_name}-job", "namespace": "default"},
        "spec": {"backoffLimit": 0, "template": {"spec": spec}},
    }
