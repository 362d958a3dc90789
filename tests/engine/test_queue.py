"""The queue of keys: each waits once, is worked by one, and comes back at the earliest time that was asked for."""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nvdra.engine.queue import Key, Queue
from tests.virtual_time import Stopwatch, clock, virtually

A, B, C = (Key("thing", name) for name in "abc")


@virtually
async def test_a_key_waits_once():
    """Ten events in a burst are one look."""
    queue = Queue(clock)
    for _ in range(10):
        queue.add(A)
    assert len(queue) == 1
    assert await queue.get() == A
    queue.done(A)
    assert queue.idle


@virtually
async def test_a_key_that_is_worked_is_worked_once_more():
    """What happens during a look asks for one more look, after it and not beside it."""
    queue = Queue(clock)
    queue.add(A)
    await queue.get()
    queue.add(A)
    queue.add(A)
    queue.add(B)
    assert await queue.get() == B
    queue.done(A)
    assert await queue.get() == A
    queue.done(A)
    queue.done(B)
    assert queue.idle


@virtually
async def test_a_later_key_comes_at_its_time():
    """The earliest time that was asked for counts, and waiting costs no real time."""
    watch, queue, began = Stopwatch(), Queue(clock), clock()
    queue.add_at(A, began + 3600)
    queue.add_at(A, began + 60)
    queue.add_at(A, began + 7200)
    queue.add_at(B, began + 30)
    assert [await queue.get(), await queue.get()] == [B, A]
    assert clock() - began == 60
    assert watch.seconds < 5


@virtually
async def test_a_look_settles_what_was_asked_for_later():
    """Whoever is looked at now needs no second look at the time that was set before."""
    queue, began = Queue(clock), clock()
    queue.add_at(A, began + 10)
    queue.add(A)
    await queue.get()
    queue.done(A)
    queue.add_at(B, began + 20)
    assert await queue.get() == B
    assert clock() - began == 20


@virtually
async def test_a_sooner_key_wakes_the_sleeper():
    """A worker that sleeps until a far time is woken by a nearer one."""
    queue, began = Queue(clock), clock()
    queue.add_at(A, began + 100)
    sleeper = asyncio.create_task(queue.get())
    await asyncio.sleep(1)
    queue.add_at(B, began + 5)
    assert await sleeper == B
    assert clock() - began == 5


@virtually
async def test_first_come_first_served():
    """A busy key goes to the end: it starves nobody."""
    queue = Queue(clock)
    for key in (A, B, C):
        queue.add(key)
    seen = []
    for _ in range(7):
        key = await queue.get()
        seen.append(key)
        queue.add(key)
        queue.done(key)
    assert seen == [A, B, C, A, B, C, A]


@virtually
async def test_a_cancelled_worker_loses_no_key():
    """Who is cancelled while waiting has taken nothing."""
    queue = Queue(clock)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    queue.add(A)
    assert await queue.get() == A


class QueueMachine(RuleBasedStateMachine):
    """Against a plain model: who waits, who is worked, who wants more, who is due when."""

    keys = st.sampled_from([A, B, C, Key("other", "a")])

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.queue = Queue(lambda: self.now)
        self.waiting: list[Key] = []
        self.working: set[Key] = set()
        self.more: set[Key] = set()
        self.later: dict[Key, float] = {}

    def _add(self, key):
        if key in self.working:
            self.more.add(key)
        elif key not in self.waiting:
            self.waiting.append(key)

    @rule(key=keys)
    def add(self, key):
        self.queue.add(key)
        self._add(key)

    @rule(key=keys, seconds=st.integers(0, 5))
    def add_at(self, key, seconds):
        when = self.now + seconds
        self.queue.add_at(key, when)
        self.later[key] = min(when, self.later.get(key, when))

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds):
        self.now += seconds

    def _fall_due(self):
        for key, when in sorted(self.later.items(), key=lambda pair: (pair[1], pair[0])):
            if when <= self.now:
                del self.later[key]
                self._add(key)

    @precondition(lambda self: self.waiting or any(when <= self.now for when in self.later.values()))
    @rule()
    def get(self):
        due = {key for key, when in self.later.items() if when <= self.now}
        if not self.waiting and due <= self.working:
            return  # a worker would wait
        self._fall_due()
        got = _at_once(self.queue.get())
        assert got == self.waiting.pop(0)
        self.later.pop(got, None)
        self.working.add(got)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def done(self, data):
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.queue.done(key)
        self.working.discard(key)
        if key in self.more:
            self.more.discard(key)
            self._add(key)

    @invariant()
    def same(self):
        assert self.queue.idle == (not self.waiting and not self.working)
        assert len(self.queue) == len(self.waiting) + len(self.more)


def _at_once(coroutine):
    """The result of a coroutine that has no reason to wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("it waited")


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=100, stateful_step_count=40)
