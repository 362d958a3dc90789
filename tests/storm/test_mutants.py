"""For each property a driver that breaks it: the storm finds it, and does not find it in the driver as it is."""

import pytest

from nvdra.sim.storm.storm import Plan, play
from tests.storm.mutants import MUTANTS

STEPS = 800
FIRST = {
    "worker_released_when_listed": 5,
    "index_given_again": 3,
    "finalizer_without_a_look": 6,
    "no_record_ahead": 6,
    "record_goes_first": 3,
    "nothing_read_at_start": 6,
    "expired_watch_goes_on": 7,
}
"""Where the seeds begin: at the first that shows it, when this was written."""
MOST = 6
SAID = {
    "worker_released_when_listed": "let go before its domain is ready",
    "formed_when_joined": "is said to have formed",
    "index_given_again": "is held twice",
    "node_always_free": "records of two channel claims",
    "finalizer_without_a_look": "the finalizer of",
    "label_written_over": "of one domain to another",
    "no_record_ahead": "of which it has no record",
    "record_goes_first": "while the node's label stands",
    "nothing_read_at_start": "",
    "expired_watch_goes_on": "",
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(name, storm):
    """Within six seeds of 800 steps, by the sentence that it breaks; without the mutation the same seeds are fine."""
    first = FIRST.get(name, 1)
    with pytest.MonkeyPatch.context() as patch:
        MUTANTS[name](patch)
        for seed in range(first, first + MOST):
            outcome = play(Plan(seed, STEPS))
            if outcome.broken and SAID[name] in outcome.broken:
                break
    assert outcome.broken
    assert SAID[name] in outcome.broken
    assert [storm(unchanged, STEPS).broken for unchanged in range(first, seed + 1)] == [""] * (seed + 1 - first)
