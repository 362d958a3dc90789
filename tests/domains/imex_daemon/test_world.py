"""The daemon in a closed loop with a node where anything may happen, in virtual time."""

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvdra.domains.imex_daemon import things
from tests.domains.imex_daemon.imex_world import ADDRESS, HOSTS, ROOT, World, a_roster
from tests.domains.imex_daemon.stories import ROSTERS, made_ready
from tests.virtual_time import clock, run, until, virtually

WAITS = st.sampled_from([0.0, 0.05, 0.3, 0.7, 1.5, 4.9, 5.3, 20.0, 70.0])
EVENTS = st.one_of(
    st.sampled_from(sorted(ROSTERS)).map(lambda name: ("roster", name)),
    st.tuples(st.sampled_from(["stuck", "hanging", "broken", "full", "failing"]), st.booleans()),
    st.just(("crash", None)),
    st.just(("die", None)),
)


async def _happen(world: World, what: str, how: object) -> None:
    """Let it happen."""
    match what:
        case "roster":
            world.api.put(ROSTERS[str(how)]())
        case "stuck":
            world.stuck = bool(how)
        case "hanging":
            world.hanging = bool(how)
        case "broken":
            world.api.breaks(bool(how))
        case "full":
            world.files.full = bool(how)
        case "failing":
            world.fails_at_start = bool(how)
        case "crash":
            world.crash()
        case "die":
            await world.die()
            world.begin()


async def _converges(world: World) -> None:
    """When nothing happens any more, it is ready and knows what the roster says."""
    world.stuck = world.hanging = world.files.full = world.fails_at_start = False
    world.api.breaks(broken=False)
    await asyncio.sleep(100)  # whatever was on its way has arrived
    if world.alive is not None and world.alive.index == 1:
        world.api.put(a_roster("10.0.0.3", ADDRESS, "10.0.0.4", own=1))
    else:
        world.api.put(ROSTERS["crowd"]())
    await until(lambda: world.status.get("ready") and world.alive is not None, limit=150)
    await until(lambda: world.addresses() == world.expected(), limit=12)
    assert world.status == {
        "domain": "uid-1", "state": "Running.Ready", "ready": True, "reason": "", "index": world.alive.index, "pid": None,
        "awaited": False,
    }  # fmt: skip
    assert world.files.files[ROOT / "etc/hosts"].startswith(HOSTS)


@settings(max_examples=120)
@given(st.lists(st.tuples(EVENTS, WAITS), max_size=12), st.booleans())
def test_whatever_happens_it_converges_and_leaves_a_running_imex_alone(story, stubborn):
    """Never two, never one ended but by its own fault or at the end, ready in the end, gone within the pod's time."""

    async def told() -> None:
        world = World(stubborn=stubborn)
        world.begin()
        for (what, how), wait in story:
            await _happen(world, what, how)
            await asyncio.sleep(wait)
            assert world.asked == 0, "nobody asked for an end"
            assert all(one.excused for one in world.instances if one.ending.done()), "one was ended without need"
        await _converges(world)
        began = clock()
        code = await world.end()
        assert world.alive is None
        assert clock() - began <= 21.0
        assert (code, world.asked) == ((3, 1) if stubborn else (0, 1))
        assert bool(world.last_words) == stubborn
        assert (world.status["state"], world.status["ready"]) == ("Stopping.Stopped", False)

    run(told())


@settings(max_examples=60)
@given(st.lists(st.tuples(EVENTS, WAITS), max_size=6), WAITS)
def test_it_stops_at_any_time(story, wait):
    """A stop that comes in the middle of anything ends in time, with the code 0, and leaves nothing behind."""

    async def told() -> None:
        world = World()
        world.begin()
        for (what, how), pause in story:
            await _happen(world, what, how)
            await asyncio.sleep(pause)
        await asyncio.sleep(wait)
        world.files.full = False
        began = clock()
        assert await world.end() == 0
        assert clock() - began <= 31.0
        assert world.alive is None

    run(told())


@virtually
async def test_a_change_within_the_deaf_time_is_told_again():
    """A change that comes just after a signal is told when the instance listens again: two signals, none lost."""
    world = await made_ready(World())
    for name in ("two", "crowd", "moved"):
        world.api.put(ROSTERS[name]())
        await asyncio.sleep(1.0)
    await until(lambda: world.addresses() == world.expected(), limit=6)
    assert (len(world.instances), world.alive.signals) == (1, 2)
    await world.end()


@virtually
async def test_a_burst_of_joins_is_one_signal():
    """Changes that follow each other closely are told together, and soon."""
    world = await made_ready(World())
    for name in ("two", "moved", "crowd"):
        world.api.put(ROSTERS[name]())
        await asyncio.sleep(0.2)
    await until(lambda: world.addresses() == world.expected(), limit=0.5)
    await asyncio.sleep(20)
    assert (len(world.instances), world.alive.signals) == (1, 1)
    await world.end()


@virtually
async def test_the_closed_loop_sees_a_daemon_that_forgets_the_deaf_time(monkeypatch):
    """A mutant that signals at once loses the last address: the world would notice."""
    monkeypatch.setattr(things, "DEAF", 0.0)
    world = await made_ready(World())
    for name in ("two", "moved"):
        world.api.put(ROSTERS[name]())
        await asyncio.sleep(1.0)
    with pytest.raises(AssertionError, match="not so within"):
        await until(lambda: world.addresses() == world.expected(), limit=60)
    await world.end()


@virtually
async def test_a_new_index_is_a_fault_that_is_reported_and_nothing_more():
    """The running instance keeps its place and addresses; it is not ready, and the way out is named."""
    world = await made_ready(World())
    before = dict(world.alive.resolved)
    world.api.put(ROSTERS["reindexed"]())
    await until(lambda: not world.status["ready"])
    await asyncio.sleep(120)
    assert world.status["state"] == "Faulted"
    assert "index 1" in world.status["reason"]
    assert "delete this pod" in world.status["reason"]
    assert (len(world.instances), world.asked, world.alive.resolved) == (1, 0, before)
    world.crash()
    await until(lambda: world.status["ready"])
    assert world.alive.index == 1
    await world.end()


@virtually
async def test_pauses_between_restarts_grow_and_begin_anew_after_a_good_run():
    """1, 2, 4 … 60 s; an instance that lasted two minutes is started again after one."""
    world = World(fails_at_start=True)
    world.api.put(ROSTERS["alone"]())
    world.begin()
    await asyncio.sleep(400)
    begun = [one.began for one in world.instances]
    pauses = [round(b - a) for a, b in itertools.pairwise(begun)]
    assert pauses[:9] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert world.status["state"] == "Running.Failing"
    assert "exited with code 1" in world.status["reason"]
    assert "its last line" in world.status["reason"]
    world.fails_at_start = False
    await until(lambda: world.status["ready"], limit=70)
    await asyncio.sleep(130)
    count, crashed = len(world.instances), clock()
    world.crash()
    await until(lambda: len(world.instances) > count)
    assert 1.0 <= clock() - crashed < 1.2
    await world.end()
