"""A real cluster for tests: brought up once a session, its network entered, and ended afterwards.

A plugin (tests/conftest.py names it), for two folders of tests share the one cluster.

`NVDRA_CLUSTER_KUBERNETES` chooses the release; with `NVDRA_CLUSTER_KEEP=1` a bed that is up is used, and left up.
`NVDRA_CLUSTER_NAME` names the bed: several may be up side by side.
`NVDRA_TEST_KUBECONFIG` is another cluster, on which the driver is installed: what needs no bed runs there (selection.py).
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cluster import audit, installation, leftovers, selection
from tests.cluster.bed import cluster, tools
from tests.cluster.bed.cluster import Cluster
from tests.cluster.image import archive
from tests.cluster.selection import ELSEWHERE
from tests.cluster.view import User, until

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
    if ELSEWHERE:
        pytest.fail("this test asks for the test bed while it runs: mark it `on_bed`", pytrace=False)
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
    kubectl, helm = programs / "kubectl", programs / "helm"
    if ELSEWHERE:
        return User(kubectl, helm, Path(ELSEWHERE))
    layout = _bed(request).layout
    return User(kubectl, helm, layout.kubeconfig, cache=layout.kubectl_cache)


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


def _bed(request: pytest.FixtureRequest) -> Cluster:
    """Asked for so, and not as an argument, a test that only needs an API server is none of the bed's."""
    found: Cluster = request.getfixturevalue("bed")
    return found
