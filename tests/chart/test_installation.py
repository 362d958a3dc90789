"""What the chart's hooks do: CRDs become those of this release, and nothing in use is uninstalled."""

import copy

import pytest
import yaml

from nvdra.apps.installation import CRDS, apply_crds, refuse_in_use, shipped_crds
from nvdra.errors import Refused
from nvdra.sim.apiserver.inprocess import InProcess
from nvdra.sim.apiserver.store import ObjectStore
from tests.builders import RAW_CLAIMS, Little
from tests.chart.helm import CHART


@pytest.fixture
def cluster() -> InProcess:
    return InProcess(ObjectStore(), "helm")


def test_the_crds_are_the_charts():
    """What the image brings along is what Helm makes at a first installation."""
    assert list(shipped_crds()) == [
        yaml.safe_load(file.read_text()) for file in sorted((CHART / "crds").glob("*.yaml"))
    ]


async def test_crds_are_made_and_made_again(cluster: InProcess):
    """On a cluster without them, and on one that has them already."""
    for _ in range(2):
        await apply_crds(cluster, shipped_crds())

    found = {crd["metadata"]["name"]: crd["spec"]["versions"][0] for crd in (await cluster.list(CRDS)).items}
    assert {n: set(v["schema"]["openAPIV3Schema"]["properties"]) for n, v in found.items()} == {
        crd["metadata"]["name"]: set(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"])
        for crd in shipped_crds()
    }


async def test_crds_of_the_go_driver_become_ours(cluster: InProcess):
    """They have no columns and fewer fields, and another owner: afterwards they are as ours, and objects are kept."""
    for crd in shipped_crds():
        theirs = copy.deepcopy(crd)
        version = theirs["spec"]["versions"][0]
        version.pop("additionalPrinterColumns")
        version["schema"]["openAPIV3Schema"]["properties"]["obsolete"] = {"type": "string"}
        theirs["spec"]["names"]["shortNames"] = [
            crd["spec"]["names"]["singular"][:8] + crd["spec"]["names"]["singular"][-3:]
        ]
        await cluster.create(CRDS, theirs)
    await apply_crds(cluster, shipped_crds())

    for ours in shipped_crds():
        now = await cluster.get(CRDS, ours["metadata"]["name"])
        version, wanted = now["spec"]["versions"][0], ours["spec"]["versions"][0]
        assert "shortNames" not in now["spec"]["names"]
        assert version["additionalPrinterColumns"] == wanted["additionalPrinterColumns"]
        assert (
            version["schema"]["openAPIV3Schema"]["properties"].keys()
            == wanted["schema"]["openAPIV3Schema"]["properties"].keys()
        )


async def claim(little: Little, name: str, driver: str, *pods: str) -> None:
    """A claim that is allocated, and reserved for pods."""
    made = await little.hands.create(RAW_CLAIMS, {"metadata": {"name": name}, "spec": {"devices": {}}}, "default")
    results = [{"request": "r", "driver": driver, "pool": "n", "device": "channel-0"}]
    users = [{"resource": "pods", "name": pod, "uid": pod} for pod in pods]
    status = {"allocation": {"devices": {"results": results}}, "reservedFor": users}
    await little.hands.patch(RAW_CLAIMS, made["metadata"]["name"], {"status": status}, "default", subresource="status")


async def test_nothing_in_use_is_uninstalled():
    """Domains and prepared claims are named, each with what one wants to know; then the way out."""
    little = await Little.started()
    await little.domain("train", namespace="default")
    await claim(little, "c1", "compute-domain.nvidia.com", "w1", "w2")

    with pytest.raises(Refused) as refused:
        await refuse_in_use(little.client("helm"), "v1")

    lines = str(refused.value).splitlines()
    assert lines[1:5] == [
        "1 ComputeDomain:",
        "  default/train (NotReady, nodes ready 0/0)",
        "1 prepared claim:",
        "  default/c1 (for w1, w2)",
    ]
    assert "helm uninstall --no-hooks" in lines[-1]


async def test_what_is_not_ours_holds_nobody_up():
    """Claims of other drivers, and claims that nobody holds, are no reason; nor is a cluster without our CRDs."""
    little = await Little.started()
    await claim(little, "other", "gpu.example.com", "w1")
    await claim(little, "free", "compute-domain.nvidia.com")

    await refuse_in_use(little.client("helm"), "v1")
    await refuse_in_use(InProcess(ObjectStore(), "helm"), "v1")


async def test_many_are_counted():
    """A long list is cut, and says how much is left out."""
    little = await Little.started()
    for number in range(23):
        await little.domain(f"d{number:02d}")

    with pytest.raises(Refused, match=r"(?s)23 ComputeDomains:.*and 3 more"):
        await refuse_in_use(little.client("helm"), "v1")
