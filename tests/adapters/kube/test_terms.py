import pytest

from nvdra.adapters.kube.election import Terms, identity_of


def test_terms_in_a_wrong_order_are_refused():
    """A lease shorter than the renewal would let two lead."""
    with pytest.raises(ValueError, match="renew shorter than lease"):
        Terms(10, 10.0, 2.0)


def test_an_identity_is_new_each_time():
    """A restarted pod is another candidate."""
    assert identity_of("pod") != identity_of("pod")
