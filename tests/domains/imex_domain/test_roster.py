"""The plan of a roster, over any history of nodes that come and go."""

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.api.computedomain import ComputeDomain, ComputeDomainStatus, ImexDomainStatus, Roster, RosterEntry
from nvdra.api.membership import Member
from nvdra.api.meta import Meta
from nvdra.domains.imex_domain.roster import plan
from nvdra.domains.imex_domain.snapshot import ImexDomainSnapshot

CLIQUE, LIMIT = "u.1", 4
names = st.sampled_from([f"node-{n}" for n in range(7)])
histories = st.lists(st.sets(names, max_size=5), min_size=1, max_size=8)


def a_member(name, *, ready=True, claim="c"):
    return Member(name, CLIQUE, ready, address="10.0.0.1", why="" if ready else "is late", claim=claim)


def seen(members, roster=None, remembered=None):
    status = ComputeDomainStatus(imexDomains=(remembered,) if remembered else ())
    domain = ComputeDomain(Meta(name="d", namespace="n"), status=status)
    found = tuple(a_member(name) for name in sorted(members))
    return ImexDomainSnapshot("uid", CLIQUE, 0.0, domain, found, roster)


def roster_of(drawn):
    return Roster(Meta(name="r"), cliqueID=CLIQUE, daemons=drawn.entries, retired=drawn.retired)


def remembered_of(drawn):
    held = {e.index: e.nodeName for e in drawn.entries if e.index >= 0}
    members = tuple(held.get(index, "") for index in range(max(held, default=-1) + 1))
    return ImexDomainStatus(CLIQUE, members=members, retired=drawn.retired)


def held(drawn):
    return {e.nodeName: e.index for e in drawn.entries if e.index >= 0}


@given(histories, st.booleans())
@settings(max_examples=200)
def test_indices_over_any_history(history, lost):
    """None twice, none moved, none out of bounds, none given again while one is unused; also if each roster is lost."""
    roster = remembered = None
    before: dict[str, int] = {}
    owners: dict[int, str] = {}
    for time, members in enumerate(history):
        drawn = plan(seen(members, None if lost else roster, remembered), LIMIT, f"{time:03}")
        now = held(drawn)
        kept = {gone.nodeName: gone.index for gone in drawn.retired}
        assert len({*now.values(), *kept.values()}) == len(now) + len(kept)
        assert all(0 <= index < LIMIT for index in now.values())
        assert set(now) | set(drawn.crowded) == members
        assert set(drawn.crowded) == {e.nodeName for e in drawn.entries if e.index < 0}
        assert not drawn.crowded or len(now) == LIMIT
        for name, index in now.items():
            assert before.get(name, index) == index
            if owners.get(index, name) != name:
                assert drawn.taken_over[name].nodeName == owners[index]
                assert len({*owners, *now.values()}) == LIMIT, "an index was given again while another was unused"
        owners |= {index: name for name, index in now.items()}
        before = now
        roster, remembered = roster_of(drawn), remembered_of(drawn)


def test_the_longest_retired_goes_first():
    """And those whose daemons are still there are passed over."""
    roster = roster_of(plan(seen({"node-0", "node-1", "node-2", "node-3"}), LIMIT, "001"))
    roster = roster_of(plan(seen({"node-0", "node-2", "node-3"}, roster), LIMIT, "002"))
    roster = roster_of(plan(seen({"node-2", "node-3"}, roster), LIMIT, "003"))
    late = seen({"node-2", "node-3", "node-5"}, roster)
    assert plan(late, LIMIT, "004").taken_over["node-5"].nodeName == "node-1"
    assert plan(late, LIMIT, "004", {"node-1"}).taken_over["node-5"].nodeName == "node-0"
    assert plan(late, LIMIT, "004", {"node-0", "node-1"}).crowded == ("node-5",)


def test_served_is_a_latch_of_one_stay():
    """Once ready, a worker may hold memory there, until the node has left and joined for another claim."""
    first = plan(seen({"node-0"}), LIMIT, "001")
    assert first.entries[0].served
    late = attrs.evolve(seen(set(), roster_of(first)), members=(a_member("node-0", ready=False),))
    assert plan(late, LIMIT, "002").entries[0].served
    anew = attrs.evolve(late, members=(a_member("node-0", ready=False, claim="another"),))
    assert not plan(anew, LIMIT, "002").entries[0].served


def test_without_a_fabric_there_are_no_indices():
    """Such nodes are listed to have something to read."""
    bare = attrs.evolve(seen({"node-1"}), clique="")
    (entry,) = plan(bare, LIMIT, "001").entries
    assert (entry.index, entry.status, entry.cliqueID) == (-1, "Ready", "")


def test_who_found_no_index_is_not_ready():
    """Its daemon may say what it likes: without a place it cannot be reached."""
    five = plan(seen({f"node-{n}" for n in range(5)}), LIMIT, "001")
    assert five.entries[-1] == RosterEntry(
        "node-4", "10.0.0.1", CLIQUE, -1, "NotReady", five.entries[-1].message, served=False, claim="c"
    )
