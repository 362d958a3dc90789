"""Least privilege, by the API server's own record: nothing was refused, and what is granted was used or says when."""

import pytest

from tests.cluster import audit
from tests.cluster.bed.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("driver")]


def test_nothing_was_refused(bed: Cluster) -> None:
    """No request of the driver's accounts was answered with 403, whatever the tests before this one did."""
    assert audit.refused(bed) == []
