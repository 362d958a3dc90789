"""A real cluster for the tests of this folder: brought up once a session, its network entered, and ended afterwards.

`NVDRA_CLUSTER_KUBERNETES` chooses the release; with `NVDRA_CLUSTER_KEEP=1` a bed that is up is used, and left up.
"""

import os
from collections.abc import Iterator

import pytest
import yaml

from nvdra.api import names
from tests.cluster import plain
from tests.cluster.bed import cluster, tools
from tests.cluster.bed.cluster import Cluster
from tests.cluster.bed.versions import NEWEST
from tests.cluster.image import archive
from tests.cluster.view import User, until

KEEP = os.environ.get("NVDRA_CLUSTER_KEEP") == "1"


@pytest.fixture(scope="session")
def bed() -> Iterator[Cluster]:
    """Two Ready nodes; this process, and what it starts, is in their network."""
    lacking = cluster.missing()
    if lacking:
        pytest.fail(lacking, pytrace=False)
    version = os.environ.get("NVDRA_CLUSTER_KUBERNETES", NEWEST)
    found = cluster.running() if KEEP else None
    if found is None:
        cluster.down()
        found = cluster.up(version)
    with found.entered():
        yield found
    if not KEEP:
        cluster.down()


@pytest.fixture(scope="session")
def user(bed: Cluster) -> User:
    """The administrator at the keyboard."""
    programs = tools.folder()
    return User(programs / "kubectl", programs / "helm", bed.layout.kubeconfig)


@pytest.fixture(scope="session")
def driver(bed: Cluster, user: User) -> None:
    """The driver is installed by plain manifests, and ready."""
    bed.bring_image(archive())
    version = "v1" if bed.layout.release.minor >= 34 else "v1beta1"
    user.kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", told=yaml.safe_dump_all(plain.everything(version))
    )
    until("the driver is ready", lambda: _all_ready(user, 3), 60)


def _all_ready(user: User, wanted: int) -> bool:
    pods = user.json("get", "pods", "-n", names.DRIVER_NAMESPACE)["items"]
    ready = [
        c for pod in pods for c in pod["status"].get("conditions", ()) if c["type"] == "Ready" and c["status"] == "True"
    ]
    return len(pods) == len(ready) == wanted
