"""When a key is looked at, by whom, and who waits for what it finds."""

import asyncio

from tests.engine.lamp import LAMPS, Lamp, Thing, a_domain, key
from tests.virtual_time import clock, until, virtually


@virtually
async def test_a_final_state_is_forgotten(room):
    """What has come to its end leaves nothing in memory; what comes again under its key begins anew."""
    room.starts()
    room.put(switched=True)
    await until(lambda: room.state() == "Lit")
    room.put(gone=True)
    await until(lambda: key() not in room.engine.cells)
    assert room.meter.moves == [(None, "Lit"), ("Lit", "Gone"), ("Gone", None)]
    room.put()
    await until(lambda: room.state() == "Dark")
    assert room.said == []


@virtually
async def test_who_leaves_was_counted_in(room):
    """What is at its end when it is first seen was never counted as there, so it is not counted out either."""
    room.starts()
    room.put(gone=True)
    await asyncio.sleep(1)
    assert (room.meter.moves, room.engine.cells) == ([], {})


@virtually
async def test_not_yet_orders_nothing(room):
    """Without a snapshot nothing is ordered or reported; the key waits for news, and looks now and then."""
    room.starts()
    room.engine.queue.add(key())
    await asyncio.sleep(12)
    assert (room.reporter.told, room.engine.told(key())) == ([], None)
    assert room.engine.cells[key()].not_yet == "no lamp was seen yet"
    room.put()
    await asyncio.sleep(0.01)
    assert room.state() == "Dark"
    assert room.engine.cells[key()].not_yet == ""


@virtually
async def test_the_last_list_wakes_who_waits_for_it(room):
    """A key that could not be looked at is looked at once the last kind is listed, even if that list is empty."""
    room.starts()

    def observe(store, of, now):
        store.require(LAMPS)
        return Lamp(of.id, switched=True)

    room.engine.domains["lamp"] = a_domain(room.light, room.heat, room.reporter, room.tell, observe=observe)
    room.engine.queue.add(key())
    await asyncio.sleep(0.5)
    assert room.light.done == []
    room.engine.store.synced(LAMPS)
    await asyncio.sleep(0)
    await until(lambda: room.light.done, limit=0.1)


@virtually
async def test_until_gives_the_first_answer(room):
    """Whoever waits for an outcome gets the first that answers, at once if it is there already; None when time is up."""
    room.starts()

    def bright(told):
        return told.word or None

    room.put()
    began = clock()
    assert await room.engine.until(key(), bright, 5) is None
    assert clock() - began == 5
    waiting = asyncio.create_task(room.engine.until(key(), bright, 5))
    await asyncio.sleep(1)
    room.put(switched=True)
    assert await waiting == "Bright"
    assert await room.engine.until(key(), bright, 0) == "Bright"
    assert room.engine._waiters == {}  # no memory of those who waited


@virtually
async def test_an_answer_goes_out_before_the_work_goes_on(room):
    """Whoever has waited goes on before the next look at the same key: a kubelet is not kept for the rest of the work."""
    room.light.act = lambda _: room.put(gone=True)
    room.starts()
    waiting = asyncio.create_task(_looks_at_the_answer(room))
    await asyncio.sleep(0.1)
    room.put(switched=True)
    assert await waiting == 1
    await until(lambda: len(room.reporter.told) == 2)


async def _looks_at_the_answer(room):
    """How many looks there were when it came."""
    await room.engine.until(key(), lambda told: told.word or None, 5)
    return len(room.reporter.told)


@virtually
async def test_until_sees_the_end(room):
    """The last outcome of a key that is forgotten is told to those who wait for it."""
    room.starts()
    room.put(switched=True)
    await until(lambda: room.state() == "Lit")
    waiting = asyncio.create_task(room.engine.until(key(), lambda told: told.leaf.final or None, 5))
    await asyncio.sleep(0.1)
    room.put(gone=True)
    assert await waiting is True


@virtually
async def test_a_key_is_never_worked_by_two(room):
    """However many workers and events: one look at a key at a time, other keys beside it."""
    busy: dict[str, int] = {}
    most: list[tuple[int, int]] = []

    class Slow(Thing):
        async def present(self, seen):
            busy[seen.path] = busy.get(seen.path, 0) + 1
            most.append((busy[seen.path], sum(busy.values())))
            await asyncio.sleep(0.1)
            busy[seen.path] -= 1

    room.engine.domains["lamp"] = a_domain(Slow(), room.heat, room.reporter, room.tell)
    room.starts(4)
    for name in ("desk", "floor", "wall"):
        room.put(name, switched=True)
    for _ in range(30):
        await asyncio.sleep(0.03)
        for name in ("desk", "floor", "wall"):
            room.engine.queue.add(key(name))
    assert max(same for same, _ in most) == 1
    assert max(all_ for _, all_ in most) == 3


@virtually
async def test_an_undisturbed_key_is_looked_at_again(room):
    """Every ten minutes, for whatever sends no event."""
    room.starts()
    room.put(switched=True)
    await asyncio.sleep(1801)
    assert len(room.light.done) == 4
