"""Every test of this folder runs twice: on the embedded rack, and, marked `cluster`, on the real cluster."""

from collections.abc import Iterator

import pytest

from tests.e2e import rack_place
from tests.e2e.cluster_place import ClusterPlace
from tests.e2e.place import Place

PLACES = (
    pytest.param("rack", marks=pytest.mark.rack),
    pytest.param("cluster", marks=(pytest.mark.cluster, pytest.mark.on_bed)),
)


@pytest.fixture(scope="session", params=PLACES)
def ground(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A rack or the cluster, with the driver ready, for all tests in turn."""
    if request.param == "rack":
        with rack_place.raised() as place:
            yield place
        return
    bed, user, _ = (request.getfixturevalue(name) for name in ("bed", "user", "driver"))
    yield ClusterPlace(user, bed=bed)


@pytest.fixture
def place(ground: Place) -> Iterator[Place]:
    """The same, left behind as it was found."""
    with ground.tidy():
        yield ground
