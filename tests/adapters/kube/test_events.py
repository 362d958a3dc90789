import asyncio
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvdra.adapters.kube.events import WAITING, EventAnnouncer, sameness
from nvdra.errors import Again, ApiError, NotFound
from nvdra.ports import Subject

POD = Subject("v1", "Pod", "train", "team", "u1")
NODE = Subject("v1", "Node", "node-a")


class Events:
    """The Events of a cluster; `faults` are raised first, one a call."""

    def __init__(self, *faults):
        self.there, self.faults, self.calls = {}, list(faults), 0

    def _suffer(self):
        self.calls += 1
        if self.faults:
            raise self.faults.pop(0)

    async def create(self, kind, body, namespace=""):
        self._suffer()
        self.there[namespace, body["metadata"]["name"]] = dict(body)

    async def patch(self, kind, name, patch, namespace="", *, how="merge", subresource=""):
        self._suffer()
        if (namespace, name) not in self.there:
            raise NotFound("expired", code=404)
        self.there[namespace, name] |= patch

    @property
    def told(self):
        return [(e["reason"], e["message"], e["type"], e["count"]) for e in self.there.values()]


@pytest.fixture
def told(virtually):
    """Runs `talk(announcer, loop)` against Events and gives them back with the announcer."""

    def run(events, talk, **options):
        async def main(loop):
            announcer = EventAnnouncer(
                events, "nvdra-controller", "node-1", clock=loop.time, wall=loop.time, rng=random.Random(1), **options
            )
            task = asyncio.ensure_future(announcer.run())
            await talk(announcer, loop)
            await announcer.flush(60)
            task.cancel()
            return announcer

        return virtually(main)

    return run


def test_an_event_as_kubectl_shows_it(told):
    """All that `kubectl describe` looks for is there; the namespace is the object's."""
    events = Events()

    async def talk(announcer, loop):
        announcer.tell(POD, "Waiting", "for 1 of 2 nodes", warning=True)

    told(events, talk)
    ((namespace, name), event), *others = events.there.items()
    assert (namespace, name.startswith("train."), others) == ("team", True, [])
    assert {
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "train", "namespace": "team", "uid": "u1"},
        "reason": "Waiting",
        "message": "for 1 of 2 nodes",
        "type": "Warning",
        "source": {"component": "nvdra-controller", "host": "node-1"},
        "firstTimestamp": "1970-01-01T00:16:40Z",
        "lastTimestamp": "1970-01-01T00:16:40Z",
        "count": 1,
    }.items() <= event.items()


def test_what_has_no_namespace_is_told_in_default(told):
    """There kubectl describe node looks."""
    events = Events()

    async def talk(announcer, loop):
        announcer.tell(NODE, "Labelled", "")

    told(events, talk)
    assert [key[0] for key in events.there] == ["default"]


def test_a_long_name_makes_no_wrong_one(told):
    """An Event's name is made from its object's: where that is cut off, what is left must not end in a dot or a dash."""
    events = Events()
    name = "a" * 235 + "-." + "b" * 16

    async def talk(announcer, loop):
        announcer.tell(Subject("v1", "Pod", name, "team", "u"), "R", "m")

    told(events, talk)
    ((_, made),) = events.there
    assert len(made) <= 253
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", made)


def test_equal_notes_are_folded_for_ten_minutes(told):
    """The same again is a count; another message, or the same after ten minutes, is a new Event."""
    events = Events()

    async def talk(announcer, loop):
        for _ in range(3):
            announcer.tell(POD, "R", "same")
            await asyncio.sleep(60)
        announcer.tell(POD, "R", "other")
        await asyncio.sleep(601)
        announcer.tell(POD, "R", "same")

    told(events, talk)
    assert events.told == [("R", "same", "Normal", 3), ("R", "other", "Normal", 1), ("R", "same", "Normal", 1)]


def test_how_often_and_how_long_makes_no_other_event(told):
    """A crash loop that goes on is one Event, with its newest figures; another cause is another one."""
    events = Events()
    loop_text = "nvidia-imex exited with code {} {} times in {} min; last line: port 50000 in use"

    async def talk(announcer, loop):
        for times in (3, 4, 5):
            announcer.tell(POD, "R", loop_text.format(1, times, times // 2))
            announcer.tell(POD, "R", loop_text.format(1, times, times // 2 + 1))
            await asyncio.sleep(60)
        announcer.tell(POD, "R", loop_text.format(2, 5, 2))

    told(events, talk)
    assert events.told == [
        ("R", loop_text.format(1, 5, 3), "Normal", 6),
        ("R", loop_text.format(2, 5, 2), "Normal", 1),
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("waiting for 1 of 2 nodes: node-1 is late", "waiting for 2 of 3 nodes: node-1 is late", True),
        ("waiting for 1 of 2 nodes: node-1 is late", "waiting for 1 of 2 nodes: node-2 is late", False),
        ("x; started again 2 s after its end", "x; started again 16 s after its end", True),
        ("(ended 3 times in 20 s)", "(ended 12 times in 4 min)", True),
        ("still Gathering after 300 s: n1, n2 and 5 more", "still Gathering after 300 s: n1, n2 and 17 more", True),
        ("did not answer within 29.9 s", "did not answer within 30.0 s", True),
        ("was killed by signal 9", "was killed by signal 11", False),
        ("exited with code 1", "exited with code 2", False),
        ("port 50000 in use", "port 50005 in use", False),
        ("10.0.0.1 more", "10.0.0.2 more", False),
        ("takes index 3 of node-7", "takes index 4 of node-7", False),
        ("rack-1 of the row", "rack-2 of the row", False),
        ("channel 0 of n1 is held", "channel 1 of n1 is held", False),
    ],
)
def test_what_is_the_same(one, other, same):
    """How often, how long and how many are no difference; names, addresses, ports, codes and indices are."""
    assert (sameness(one) == sameness(other)) == same


@given(st.integers(0, 9999), st.integers(0, 9999), st.text(max_size=30))
def test_sameness_keeps_all_but_figures(before, after, text):
    """A text without figures is its own sameness; figures of the same sentence are no difference."""
    words = re.sub(r"\d", "", text)
    assert sameness(words) == words
    assert sameness(f"{words} ended {before} times") == sameness(f"{words} ended {after} times")


def test_an_event_that_expired_is_made_anew(told):
    """A folded Event that is gone meanwhile is created."""
    events = Events()

    async def talk(announcer, loop):
        announcer.tell(POD, "R", "same")
        await announcer.flush(5)
        events.there.clear()
        announcer.tell(POD, "R", "same")

    told(events, talk)
    assert events.told == [("R", "same", "Normal", 1)]


def test_trouble_is_tried_a_few_times(told, caplog):
    """A lost connection costs a retry, a missing right a line in the log; neither is ever raised."""
    events = Events(Again("lost"), Again("lost"), ApiError("403 events", code=403))

    async def talk(announcer, loop):
        announcer.tell(POD, "First", "")
        announcer.tell(POD, "Second", "")

    announcer = told(events, talk)
    assert (announcer.dropped, [event[0] for event in events.told]) == (1, ["Second"])
    assert "Event First on Pod train not written: 403 events" in caplog.text


def test_a_flood_is_bounded_and_rationed(told):
    """What comes too fast is dropped, the oldest first, and what is written keeps to the rate."""
    events, seconds = Events(), []

    async def talk(announcer, loop):
        for number in range(WAITING + 44):
            announcer.tell(POD, "R", str(number))
        began = loop.time()
        await announcer.flush(600)
        seconds.append(loop.time() - began)

    announcer = told(events, talk)
    assert (announcer.dropped, events.told[0][1], len(events.there)) == (44, "44", WAITING)
    assert seconds[0] >= (WAITING - 50) / 5 - 1


def test_flush_does_not_wait_for_ever(told, caplog):
    """At the end of the process, a dead API server holds nobody up."""

    async def talk(announcer, loop):
        announcer.tell(POD, "R", "")
        announcer.tell(POD, "S", "")
        began = loop.time()
        await announcer.flush(0.1)
        assert loop.time() - began < 0.2

    told(Events(*[Again("lost")] * 9), talk)
    assert "were not written in time" in caplog.text
