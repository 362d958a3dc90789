import pytest

from tests.engine.lamp import Room


@pytest.fixture
def room():
    return Room()
