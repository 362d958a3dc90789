"""A real cluster for the tests of this folder: brought up once a session, its network entered, and ended afterwards.

`NVDRA_CLUSTER_KUBERNETES` chooses the release; with `NVDRA_CLUSTER_KEEP=1` a bed that is up is used, and left up.
`NVDRA_CLUSTER_NAME` names the bed: several may be up side by side.
`NVDRA_TEST_KUBECONFIG` is another cluster, on which the driver is installed: what needs no bed runs there (selection.py).
"""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cluster import audit, installation, leftovers, selection
from tests.cluster.bed import cluster, hardware, tools
from tests.cluster.bed.cluster import Cluster
from tests.cluster.image import archive
from tests.cluster.selection import ELSEWHERE
from tests.cluster.view import User, until
from tests.cluster.workloads import domain

KEEP = os.environ.get("NVDRA_CLUSTER_KEEP") == "1"
NAME = os.environ.get("NVDRA_CLUSTER_NAME", "bed")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """After `-m` and `-k` have chosen."""
    selection.choose(config, items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What has to be known beside the count of dots."""
    for line in config.stash.get(selection.SAID, []):
        terminalreporter.line(line)


@pytest.fixture(scope="session")
def bed() -> Iterator[Cluster]:
    """Two Ready nodes; this process, and what it starts, is in their network."""
    lacking = cluster.missing()
    if lacking:
        pytest.fail(lacking, pytrace=False)
    found = cluster.running(NAME) if KEEP else None
    if found is None:
        cluster.down(NAME)
        found = cluster.up(selection.KUBERNETES.version, NAME)
    audit.begin()
    with found.entered():
        yield found
    if not KEEP:
        cluster.down(NAME)


@pytest.fixture(scope="session")
def user(request: pytest.FixtureRequest) -> User:
    """The administrator at the keyboard, of the bed or of the cluster elsewhere."""
    programs = tools.folder()
    kubeconfig = Path(ELSEWHERE) if ELSEWHERE else _bed(request).layout.kubeconfig
    return User(programs / "kubectl", programs / "helm", kubeconfig)


@pytest.fixture(scope="session")
def driver(request: pytest.FixtureRequest, user: User) -> Iterator[None]:
    """The driver is installed as the user guide says, by Helm, and ready; in the end, nothing it asked for was refused."""
    if ELSEWHERE:
        installation.must_be_there(user)
        yield
        return
    bed = _bed(request)
    images = archive()
    bed.bring_image(images)
    installation.by_helm(user, images.stem)
    until("the driver is ready", lambda: installation.ready(user), 90)
    yield
    assert audit.refused(bed) == [], "the API server's audit log has requests of ours that were answered with 403"


@pytest.fixture
def all_gone(request: pytest.FixtureRequest, user: User) -> Callable[[], None]:
    """Waits until nothing of any ComputeDomain is left: in the API, and on the nodes where they are ours to look at."""
    return partial(leftovers.all_gone, None if ELSEWHERE else _bed(request), user)


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


def _bed(request: pytest.FixtureRequest) -> Cluster:
    """Asked for so, and not as an argument, a test that only needs an API server is none of the bed's."""
    found: Cluster = request.getfixturevalue("bed")
    return found
