"""A real cluster for the tests of this folder: brought up once a session, its network entered, and ended afterwards.

`NVDRA_CLUSTER_KUBERNETES` chooses the release; with `NVDRA_CLUSTER_KEEP=1` a bed that is up is used, and left up.
`NVDRA_CLUSTER_NAME` names the bed: several may be up side by side.
"""

import os
import time
from collections.abc import Iterator

import pytest

from tests.cluster import audit, installation, leftovers
from tests.cluster.bed import cluster, hardware, tools
from tests.cluster.bed.cluster import Cluster
from tests.cluster.bed.versions import NEWEST
from tests.cluster.image import archive
from tests.cluster.view import User, until
from tests.cluster.workloads import domain

KEEP = os.environ.get("NVDRA_CLUSTER_KEEP") == "1"
NAME = os.environ.get("NVDRA_CLUSTER_NAME", "bed")


@pytest.fixture(scope="session")
def bed() -> Iterator[Cluster]:
    """Two Ready nodes; this process, and what it starts, is in their network."""
    lacking = cluster.missing()
    if lacking:
        pytest.fail(lacking, pytrace=False)
    version = os.environ.get("NVDRA_CLUSTER_KUBERNETES", NEWEST)
    found = cluster.running(NAME) if KEEP else None
    if found is None:
        cluster.down(NAME)
        found = cluster.up(version, NAME)
    with found.entered():
        yield found
    if not KEEP:
        cluster.down(NAME)


@pytest.fixture(scope="session")
def user(bed: Cluster) -> User:
    """The administrator at the keyboard."""
    programs = tools.folder()
    return User(programs / "kubectl", programs / "helm", bed.layout.kubeconfig)


@pytest.fixture(scope="session")
def driver(bed: Cluster, user: User) -> Iterator[None]:
    """The driver is installed as the user guide says, by Helm, and ready; in the end, nothing it asked for was refused."""
    images = archive()
    bed.bring_image(images)
    installation.by_helm(user, images.stem)
    until("the driver is ready", lambda: installation.ready(user), 90)
    yield
    assert audit.refused(bed) == [], "the API server's audit log has requests of ours that were answered with 403"


@pytest.fixture
def pair(bed: Cluster, user: User, driver: None) -> Iterator[str]:
    """A domain of two nodes; whatever a test made of it is gone afterwards."""
    name = f"pair-{int(time.monotonic() * 10)}"
    user.apply(domain(name, 2))
    yield name
    for node in bed.layout.all_nodes:
        hardware.imex_acts(node, "{}")
    user.kubectl("delete", "pods", f"{name}-1", f"{name}-2", "--ignore-not-found", "--timeout=90s")
    user.kubectl("delete", "computedomain", name, "--ignore-not-found", "--timeout=90s")
    leftovers.all_gone(bed, user, limit=90)  # after an outage Kubernetes' own collectors take their time
