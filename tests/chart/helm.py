"""What helm makes of the chart."""

import functools
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.chart import tools

ROOT = Path(__file__).parents[2]
CHART = ROOT / "chart"
RELEASE = NAMESPACE = "nvidia-dra-driver-gpu"
GUIDE = (
    "nvidiaDriverRoot=/run/nvidia/driver",
    "nvidiaCtkPath=/usr/local/nvidia/toolkit/nvidia-ctk",
    "resources.gpus.enabled=false",
)
"""What the user guide sets."""
SERVED = {
    "1.32": ("v1beta1",),
    "1.33": ("v1beta1", "v1beta2"),
    "1.34": ("v1", "v1beta1", "v1beta2"),
    "1.35": ("v1", "v1beta1", "v1beta2"),
    "1.36": ("v1", "v1beta1", "v1beta2"),
    "1.37": ("v1", "v1beta1", "v1beta2"),
}
"""Which versions of resource.k8s.io each Kubernetes may serve (dra-protocol.md §5.1)."""
NEWEST = "4.3.1"

Json = dict[str, Any]


def run(version: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tools.helm(version), *words], capture_output=True, text=True, timeout=60, cwd=ROOT)


@functools.cache
def rendered(
    *settings: str,
    version: str = NEWEST,
    kubernetes: str = "1.37",
    namespace: str = NAMESPACE,
    apis: tuple[str, ...] = (),
) -> str:
    """`helm template`; it must succeed."""
    done = attempt(*settings, version=version, kubernetes=kubernetes, namespace=namespace, apis=apis)
    assert done.returncode == 0, done.stderr
    return done.stdout


def attempt(
    *settings: str,
    version: str = NEWEST,
    kubernetes: str = "1.37",
    namespace: str = NAMESPACE,
    apis: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    served = [word for api in SERVED[kubernetes] for word in ("--api-versions", f"resource.k8s.io/{api}")]
    more = [word for api in apis for word in ("--api-versions", api)]
    values = [
        word for setting in settings for word in (("--set", setting) if "=" in setting else ("--values", setting))
    ]
    return run(
        version,
        "template",
        RELEASE,
        str(CHART),
        "--namespace",
        namespace,
        "--kube-version",
        kubernetes,
        *served,
        *more,
        *values,
    )


@functools.cache
def objects(text: str) -> list[Json]:
    """What was rendered; nobody changes it."""
    return [found for found in yaml.load_all(text, Loader=yaml.CSafeLoader) if found]


def one(text: str, kind: str, ending: str = "") -> Json:
    """The only object of that kind whose name ends so."""
    found = [o for o in objects(text) if o["kind"] == kind and o["metadata"]["name"].endswith(ending)]
    assert len(found) == 1, [o["metadata"]["name"] for o in found]
    return found[0]


def environment(container: Json) -> dict[str, str]:
    """Variable to value, or to what it is taken from."""
    return {e["name"]: e.get("value", str(e.get("valueFrom"))) for e in container["env"]}


def pod_of(workload: Json) -> Json:
    spec: Json = workload["spec"]["template"]["spec"]
    return spec
