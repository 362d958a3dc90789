"""A real cluster for tests: brought up once a session, its network entered, and ended afterwards.

A plugin (tests/conftest.py names it), for two folders of tests share the one cluster.

`NVDRA_CLUSTER_KUBERNETES` chooses the release; with `NVDRA_CLUSTER_KEEP=1` a bed that is up is used, and left up.
`NVDRA_CLUSTER_NAME` names the bed: several may be up side by side.
"""

import os
from collections.abc import Iterator

import pytest

from tests.cluster import audit, installation
from tests.cluster.bed import cluster, tools
from tests.cluster.bed.cluster import Cluster
from tests.cluster.bed.versions import NEWEST
from tests.cluster.image import archive
from tests.cluster.view import User, until

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
