"""The account as text: readable in a hundred columns, whatever is told."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.explain.account import Account, ConditionTold, EventTold, FactTold, LifeTold, NodeTold, PodTold
from nvdra.explain.faults import FAULTS, HINTS, todo_of
from nvdra.explain.text import WIDTH, ago, text_of

NAME = st.text("abc-", min_size=1, max_size=25)
WORDS = st.lists(NAME, max_size=25).map(" ".join)
EVENTS = st.lists(st.builds(EventTold, NAME, WORDS, teller=NAME, count=st.integers(1, 99)), max_size=2).map(tuple)
PODS = st.lists(st.builds(PodTold, NAME, WORDS, events=EVENTS), max_size=2).map(tuple)
NODES = st.lists(st.builds(NodeTold, NAME, WORDS, plugin=WORDS, daemons=PODS, workers=PODS), max_size=2).map(tuple)
FACTS = st.lists(st.builds(FactTold, NAME, st.sampled_from([True, False, None]), WORDS, WORDS, WORDS), max_size=2)
LIVES = st.lists(st.builds(LifeTold, NAME, NAME, NAME, WORDS, NAME, FACTS.map(tuple)), max_size=2).map(tuple)
ACCOUNTS = st.builds(
    Account,
    domain=NAME,
    uid=NAME,
    status=NAME,
    since=st.just("2026-11-25T10:43:07Z"),
    now=st.just(1_795_600_000.0),
    waits=WORDS,
    guard=WORDS,
    lives=LIVES,
    nodes=NODES,
    unplaced=PODS,
    events=EVENTS,
    conditions=st.lists(st.builds(ConditionTold, NAME, NAME, NAME, WORDS), max_size=2).map(tuple),
)


@settings(max_examples=60)
@given(ACCOUNTS)
def test_no_line_is_longer_than_a_hundred_columns(account):
    """Whatever is told; only a single word of more than that would stick out, since people copy it."""
    assert [line for line in text_of(account).splitlines() if len(line) > WIDTH] == []


def test_many_nodes_are_counted_and_the_late_ones_are_shown():
    """Of twenty-five nodes the one that is late is among those shown; the rest is a number."""
    nodes = [NodeTold(f"node-{n:02}", "is ready") for n in range(24)] + [
        NodeTold("node-99", "has no IMEX daemon pod yet")
    ]
    said = text_of(Account("a/b", "u", "NotReady", "", 0.0, nodes=tuple(nodes)))
    assert "node-99   has no IMEX daemon pod yet" in said
    assert "and 5 more, 0 of them not ready (-o json shows all)" in said


def test_a_time_is_told_as_people_do():
    """Two units, the larger first; nothing for a time that is not known."""
    since, at = "1970-01-01T00:00:00Z", (5.0, 125.0, 7500.0, 180_000.0)
    assert [ago(since, now) for now in at] == ["5s", "2m 5s", "2h 5m", "2d 2h"]
    assert ago("", 5.0) == ""


def test_each_fault_has_its_own_words():
    """No two faults would be taken for one another, and each has a way out that its own words lead to."""
    for fault in (*FAULTS, *HINTS):
        assert todo_of([f"node-1: {fault.says}; and more"]) == (fault.todo,)
    assert todo_of(["all is well"]) == ()
    assert todo_of(["node-1 has not joined", FAULTS[0].says]) == (FAULTS[0].todo,)
