import functools

import pytest

from nvdra.sim.storm.storm import Outcome, Plan, play


@functools.cache
def unmutated(seed: int, steps: int) -> Outcome:
    return play(Plan(seed, steps))


@pytest.fixture(scope="session")
def storm():
    """A storm of the driver as it is; each is run once."""
    return unmutated
