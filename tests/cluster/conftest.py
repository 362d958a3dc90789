"""A domain of two nodes for the tests of this folder; the cluster itself is of tests/cluster/fixtures.py."""

import time
from collections.abc import Iterator

import pytest

from tests.cluster import leftovers
from tests.cluster.bed import hardware
from tests.cluster.bed.cluster import Cluster
from tests.cluster.view import User
from tests.cluster.workloads import domain


@pytest.fixture
def pair(bed: Cluster, user: User, driver: None) -> Iterator[str]:
    """A domain of two nodes; whatever a test made of it is gone afterwards."""
    name = f"pair-{int(time.monotonic() * 10)}"
    user.apply(domain(name, 2))
    yield name
    for node in bed.layout.all_nodes:
        hardware.imex_acts(node, "{}")
    workers = (f"{name}-1", f"{name}-2", f"{name}-meanwhile-1")
    user.kubectl("delete", "pods", *workers, "--ignore-not-found", "--timeout=90s")
    user.kubectl("delete", "computedomains", name, f"{name}-meanwhile", "--ignore-not-found", "--timeout=90s")
    leftovers.all_gone(bed, user, limit=90)  # after an outage Kubernetes' own collectors take their time
