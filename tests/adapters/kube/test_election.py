import asyncio
import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.adapters.kube.election import Election, LeadershipLost, Terms
from nvdra.api.meta import Meta
from nvdra.api.objects import Lease, LeaseSpec
from nvdra.errors import Again, AlreadyExists, Conflict, NotFound

TERMS = Terms(15, 10.0, 2.0)


class Leases:
    """An API server with one Lease. `network` delays or loses each call, before or after it took effect."""

    def __init__(self):
        self.lease, self.version = None, 0

    def client(self, network=None):
        return Client(self, network)

    def write(self, body, *, create):
        if create and self.lease is not None:
            raise AlreadyExists("taken", code=409)
        if not create:
            if self.lease is None:
                raise NotFound("gone", code=404)
            if body["metadata"].get("resourceVersion", "") != self.lease.metadata.resourceVersion:
                raise Conflict("stale", code=409)
        self.version += 1
        self.lease = Lease(Meta("l", "ns", "u", str(self.version)), LeaseSpec(**body["spec"]))
        return self.lease

    def read(self):
        if self.lease is None:
            raise NotFound("none", code=404)
        return self.lease


class Client:
    def __init__(self, leases, network):
        self.leases, self.network, self.late = leases, network or (lambda: (0.0, 0.0, "ok")), []

    async def _through(self, deed):
        going, coming, fate = self.network()
        if fate == "before":
            await asyncio.sleep(going)
            raise Again("lost on the way")
        if fate == "late":  # it arrives long after we stopped waiting
            self.late.append(asyncio.ensure_future(self._later(going * 5, deed)))
            await asyncio.sleep(going)
            raise Again("no answer in time")
        await asyncio.sleep(going)
        result = deed()
        await asyncio.sleep(coming)
        if fate == "after":
            raise Again("the answer was lost")
        return result

    async def _later(self, seconds, deed):
        await asyncio.sleep(seconds)
        with contextlib.suppress(Again):
            deed()

    async def get(self, kind, name, namespace=""):
        return await self._through(self.leases.read)

    async def create(self, kind, body, namespace=""):
        return await self._through(lambda: self.leases.write(body, create=True))

    async def replace(self, kind, name, body, namespace=""):
        return await self._through(lambda: self.leases.write(body, create=False))


def election(loop, cluster, name, seed=1):
    # Wall clocks that are hours apart: nobody may rely on them.
    return Election(
        cluster,
        "l",
        "ns",
        name,
        TERMS,
        clock=loop.time,
        wall=lambda: loop.time() + hash(name) % 9999,
        rng=random.Random(seed),
    )


async def for_ever():
    await asyncio.Event().wait()


async def until(condition, seconds=120.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.1)


async def stop(*tasks):
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_release_is_followed_at_once(virtually):
    """After a clean stop the next one leads within one retry, and the change of holder is counted."""

    async def main(loop):
        leases = Leases()
        one, two = (election(loop, leases.client(), name) for name in ("one", "two"))
        first, second = asyncio.ensure_future(one.lead(for_ever)), None
        await until(lambda: one.leading)
        second = asyncio.ensure_future(two.lead(for_ever))
        await asyncio.sleep(60)
        assert (one.leading, two.leading, two.leader) == (True, False, "one")
        await stop(first)
        assert leases.lease.spec.holderIdentity == ""
        left = loop.time()
        await until(lambda: two.leading)
        result = loop.time() - left, leases.lease.spec.leaseTransitions
        await stop(second)
        return result

    seconds, transitions = virtually(main)
    assert (seconds <= TERMS.retry_seconds * 1.2 + 0.2, transitions) == (True, 1)


def test_death_is_followed_in_time(virtually):
    """After a sudden death the next one leads after the lease's time, and within one retry of that."""

    async def main(loop):
        leases = Leases()
        cut = False
        one = election(loop, leases.client(lambda: (1e9, 0.0, "before") if cut else (0.0, 0.0, "ok")), "one")
        two = election(loop, leases.client(), "two", 2)
        tasks = [asyncio.ensure_future(one.lead(for_ever))]
        await until(lambda: one.leading)
        tasks.append(asyncio.ensure_future(two.lead(for_ever)))
        await asyncio.sleep(30)
        cut, died = True, loop.time()
        await until(lambda: two.leading)
        seconds = loop.time() - died
        await stop(*tasks)
        return seconds

    assert TERMS.lease_seconds - 3 <= virtually(main) <= TERMS.lease_seconds + TERMS.retry_seconds * 2.4 + 0.2


@pytest.mark.parametrize(("silence", "words"), [(0.0, "lost on the way"), (1e9, "did not answer within")])
def test_who_cannot_renew_stops_working_before_anybody_follows(virtually, silence, words):
    """`lost` is set, the work is cancelled and awaited, and the text says why, with an error as with silence."""

    async def main(loop):
        cut, cleaned = False, []

        async def work():
            try:
                await for_ever()
            finally:
                await asyncio.sleep(1)
                cleaned.append(loop.time())

        one = election(loop, Leases().client(lambda: (silence if cut else 0.0, 0.0, "before" if cut else "ok")), "one")
        task = asyncio.ensure_future(one.lead(work))
        await until(lambda: one.leading)
        cut, began = True, loop.time()
        with pytest.raises(LeadershipLost, match=f"lease ns/l: .*{words}"):
            await task
        return one.lost, one.leading, len(cleaned), cleaned[0] - began

    lost, leading, times, seconds = virtually(main)
    assert (lost, leading, times) == (True, False, 1)
    assert seconds <= TERMS.renew_seconds + 1.1


def test_a_stolen_lease_is_noticed(virtually):
    """When somebody else stands in the Lease, the leader stops at its next renewal."""

    async def main(loop):
        leases = Leases()
        one = election(loop, leases.client(), "one")
        task = asyncio.ensure_future(one.lead(for_ever))
        await until(lambda: one.leading)
        body = {
            "metadata": {"resourceVersion": str(leases.version)},
            "spec": {"holderIdentity": "thief", "leaseDurationSeconds": 15},
        }
        leases.write(body, create=False)
        began = loop.time()
        with pytest.raises(LeadershipLost, match="thief leads now"):
            await task
        return loop.time() - began, leases.lease.spec.holderIdentity

    seconds, holder = virtually(main)
    assert (seconds <= 5, holder) == (True, "thief")


def test_a_deleted_lease_is_made_anew_by_the_leader(virtually):
    """Somebody deletes the Lease: who leads takes it again at once, before a candidate may think it free."""

    async def main(loop):
        leases = Leases()
        one = election(loop, leases.client(), "one")
        task = asyncio.ensure_future(one.lead(for_ever))
        await until(lambda: one.leading)
        leases.lease = None
        await asyncio.sleep(TERMS.renew_seconds + TERMS.retry_seconds * 2)
        result = task.done(), one.leading, leases.lease.spec.holderIdentity if leases.lease else None
        await stop(task)
        return result

    assert virtually(main) == (False, True, "one")


def test_a_deleted_lease_that_another_has_taken_is_noticed(virtually):
    """Somebody deletes the Lease and a candidate is faster: who led stops at its next renewal."""

    async def main(loop):
        leases = Leases()
        one, two = (election(loop, leases.client(), name) for name in ("one", "two"))
        tasks = [asyncio.ensure_future(one.lead(for_ever))]
        await until(lambda: one.leading)
        tasks.append(asyncio.ensure_future(two.lead(for_ever)))
        both = 0.0
        await asyncio.sleep(7)
        leases.lease = None
        for _ in range(200):
            await asyncio.sleep(0.1)
            both += 0.1 * (one.leading and two.leading)
        await stop(*tasks)
        return both

    assert virtually(main) <= TERMS.retry_seconds * 1.2 + 0.2


def test_one_call_that_hangs_costs_no_leadership(virtually):
    """A connection dies without a word, as behind a load balancer: there is time left to renew by another one."""

    async def main(loop):
        hanging = []

        def network():
            return (1e9, 0.0, "before") if hanging and hanging.pop() else (0.0, 0.0, "ok")

        one = election(loop, Leases().client(network), "one")
        task = asyncio.ensure_future(one.lead(for_ever))
        await until(lambda: one.leading)
        await asyncio.sleep(7)
        hanging.append(True)
        await asyncio.sleep(60)
        result = hanging, task.done(), one.leading
        await stop(task)
        return result

    assert virtually(main) == ([], False, True)


def test_work_that_ends_or_fails_releases(virtually):
    """The end of the work ends the leadership; its fault is the caller's."""

    async def main(loop):
        leases = Leases()

        async def done():
            await asyncio.sleep(1)

        async def fault():
            raise KeyError("x")

        await election(loop, leases.client(), "one").lead(done)
        assert leases.lease.spec.holderIdentity == ""
        with pytest.raises(KeyError):
            await election(loop, leases.client(), "two").lead(fault)
        return leases.lease.spec.holderIdentity

    assert virtually(main) == ""


def test_an_impatient_caller_cannot_leave_the_work_behind(virtually):
    """Cancelled twice, the Lease is still released only after the work has ended."""

    async def main(loop):
        leases, ended = Leases(), []

        async def work():
            try:
                await for_ever()
            finally:
                await asyncio.sleep(3)
                ended.append(leases.lease.spec.holderIdentity)

        one = election(loop, leases.client(), "one")
        task = asyncio.ensure_future(one.lead(work))
        await until(lambda: one.leading)
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return ended

    assert virtually(main) == ["one"]


FATES = st.sampled_from(["ok"] * 6 + ["before", "after", "late"])
DELAYS = st.one_of(st.floats(0, 0.5), st.floats(0, 12))


@given(
    calls=st.lists(st.tuples(DELAYS, DELAYS, FATES), min_size=20, max_size=80),
    seeds=st.lists(st.integers(), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_at_most_one_leads(calls, seeds, virtually_once):
    """Whatever the network delays, loses or delivers late, two never work at the same time; in the end one leads."""

    async def main(loop):
        leases, working, most, fates = Leases(), set(), [0], iter(calls)

        def network():
            return next(fates, (0.01, 0.01, "ok"))

        async def candidate(name, seed):
            async def work():
                working.add(name)
                most[0] = max(most[0], len(working))
                try:
                    await for_ever()
                finally:
                    await asyncio.sleep(1)  # stopping takes a moment, less than lease - renew
                    working.discard(name)

            while True:
                try:
                    await election(loop, cluster := leases.client(network), name, seed).lead(work)
                except LeadershipLost:
                    await asyncio.sleep(0.1)
                finally:
                    late.extend(cluster.late)

        late: list = []
        tasks = [asyncio.ensure_future(candidate(f"c{number}", seed)) for number, seed in enumerate(seeds)]
        await asyncio.sleep(900)
        count = len(working)
        await stop(*tasks)
        await stop(*late)
        return most[0], count

    assert virtually_once(main) == (1, 1)
