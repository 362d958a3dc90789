"""Sieve's perturbations: few places here, all of them in `make storm`."""

import pytest

from nvdra.sim.storm.sieve import PERTURBATIONS, SCENARIOS, Trial, sieve
from tests.storm.mutants import MUTANTS


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_undisturbed_life_is_whole(scenario):
    """Without a disturbance each scenario reaches its middle and its end, and twice the same."""
    one, other = Trial(SCENARIOS[scenario]).play(), Trial(SCENARIOS[scenario]).play()
    assert (one.wrong, one.places, one.middle) == ("", other.places, other.middle)
    assert len(one.places) > 100


def test_disturbed_lives_end_as_the_undisturbed_one():
    """Every twentieth place of the one-node scenario, disturbed in each of the three ways."""
    found = sieve("one-node", every=20)
    assert found.wrong == ()
    assert found.runs == len(PERTURBATIONS) * len(range(0, found.places, 20))
    assert "ended otherwise" in found.summary


def test_a_driver_that_forgets_is_found(monkeypatch):
    """A plugin that does not look for what it left is told apart by one crash at the right place."""
    places = [place for place in Trial(SCENARIOS["one-node"]).play().places if place[0].startswith("plugin@n0 write")]
    MUTANTS["nothing_read_at_start"](monkeypatch)
    calm = Trial(SCENARIOS["one-node"]).play()
    assert calm.wrong == ""
    assert any(Trial(SCENARIOS["one-node"], (place, "intermediate"), calm.middle).play().wrong for place in places)
