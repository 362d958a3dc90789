import asyncio
import random
import re

import pytest

from nvdra.adapters.kube.events import WAITING, EventAnnouncer
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
