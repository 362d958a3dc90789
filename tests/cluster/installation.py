"""The driver installed by its Helm chart, with the user guide's command and what the bed needs beside it."""

from pathlib import Path

from nvdra.api import names
from tests.cluster.image import CHECKOUT, NAME
from tests.cluster.view import Json, User

RELEASE = "nvidia-dra-driver-gpu"
COMPONENT = "nvidia-dra-driver-gpu-component"
DRIVER_ROOT = "/run/nvidia/driver"
GUIDE = ("nvidiaDriverRoot=/run/nvidia/driver", "nvidiaCtkPath=/usr/bin/nvidia-ctk", "resources.gpus.enabled=false")
"""What the guide sets."""
BED = (
    f"altProcDevices={DRIVER_ROOT}/proc/devices",
    f"image.repository={NAME.rpartition(':')[0]}",
    f"image.tag={NAME.rpartition(':')[2]}",
)
"""What a bed without hardware and without a registry needs."""


def by_helm(user: User, build: str, *more: str, chart: Path = CHECKOUT / "chart") -> None:
    """Install, or upgrade. `build` marks the pods, so that another image of the same tag starts them anew."""
    marks = [f"{part}.podAnnotations.build={build}" for part in ("controller", "kubeletPlugin")]
    more_values = [f"--set-string={mark}" for mark in marks]
    user.helm("upgrade", "--install", RELEASE, str(chart), "--create-namespace", "--namespace", names.DRIVER_NAMESPACE,
              *values(*more), *more_values, "--timeout=90s")  # fmt: skip


def rendered(user: User) -> str:
    """What Helm makes of the chart here, hooks and comments included."""
    chart = str(CHECKOUT / "chart")
    return user.helm("template", RELEASE, chart, "--namespace", names.DRIVER_NAMESPACE, *values())


def values(*more: str) -> list[str]:
    """The guide's, the bed's, and some more."""
    return [f"--set={value}" for value in (*GUIDE, *BED, *more)]


def must_be_there(user: User) -> None:
    """On a cluster that is not ours the driver has to be installed already: which way is its owner's affair."""
    found = pods(user)
    assert found, (
        f"the driver is not installed on that cluster: no pods in {names.DRIVER_NAMESPACE}; see the user guide"
    )
    assert ready(user, len(found)), (
        f"the driver is not ready on that cluster: kubectl get pods -n {names.DRIVER_NAMESPACE}"
    )


def pods(user: User, of: str = "controller,kubelet-plugin") -> list[Json]:
    """The driver's own pods: controllers and plugins, not daemons."""
    selector = f"{COMPONENT} in ({of})"
    found: list[Json] = user.json("get", "pods", "-n", names.DRIVER_NAMESPACE, "-l", selector)["items"]
    return found


def ready(user: User, wanted: int = 3) -> bool:
    """Whether there are exactly so many, all ready, none on its way out."""
    found = pods(user)
    ready = [
        c
        for pod in found
        for c in pod["status"].get("conditions", ())
        if c["type"] == "Ready" and c["status"] == "True"
    ]
    return len(found) == len(ready) == wanted


def marked(user: User, build: str, wanted: int = 3) -> bool:
    """Whether all of the driver's pods are those of that build, and ready."""
    builds = {pod["metadata"]["annotations"].get("build") for pod in pods(user)}
    return builds == {build} and ready(user, wanted)


def build(user: User) -> str:
    """With which build the driver's pods are marked."""
    (found,) = {pod["metadata"]["annotations"]["build"] for pod in pods(user)}
    return str(found)
