"""A burst of changes is one write: not before it is quiet, not after it has lasted too long."""

import pytest

from nvdra.engine.burst import AT_ONCE, Burst, Pace
from nvdra.errors import Later

PACE = Pace(quiet=1.0, limit=3.0)


def held(burst, wanted, now, pace=PACE):
    """Seconds until the write is due; None when it is."""
    try:
        burst.hold("roster", wanted, now, pace)
    except Later as later:
        return later.after
    return None


def test_waits_until_it_is_quiet():
    """The same wish for `quiet` seconds is due."""
    burst = Burst()
    assert held(burst, "a", 0.0) == 1.0
    assert held(burst, "a", 0.4) == pytest.approx(0.6)
    assert held(burst, "a", 1.0) is None


def test_a_new_wish_begins_the_quiet_anew():
    """But never beyond the limit: a burst that does not end is written all the same."""
    burst = Burst()
    waits = [held(burst, number, 0.8 * number) for number in range(5)]
    assert waits[:3] == [1.0, 1.0, 1.0]
    assert waits[3] == pytest.approx(0.6)
    assert waits[4] is None


def test_after_the_write_a_new_burst_begins():
    """What was written is forgotten."""
    burst = Burst()
    held(burst, "a", 0.0)
    burst.written("roster")
    burst.written("roster")
    assert held(burst, "b", 10.0) == 1.0


def test_at_once_is_at_once():
    """What somebody waits for is not held, whatever was held before."""
    burst = Burst()
    assert held(burst, "a", 5.0, AT_ONCE) is None
    burst = Burst()
    held(burst, "a", 5.0)
    assert held(burst, "b", 5.1, AT_ONCE) is None


def test_each_object_has_its_own():
    """One object's burst holds back no other."""
    burst = Burst()
    held(burst, "a", 0.0)
    with pytest.raises(Later):
        burst.hold("other", "a", 0.9, PACE)
    assert held(burst, "a", 1.0) is None
