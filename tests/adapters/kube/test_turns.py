"""The manners of a client whom a busy server turns away."""

import asyncio
import random
from collections import Counter

from attrs import define, field

from nvdra.adapters.kube.turns import MAX_WAIT, Turns
from tests.virtual_time import clock, virtually


@define
class Busy:
    """A server that takes `rate` calls a second, however many come."""

    rate: float
    free: float = 0.0
    at: float = 0.0
    refused: int = 0
    taken: int = 0

    def takes(self) -> bool:
        self.free = min(self.rate, self.free + (clock() - self.at) * self.rate)
        self.at = clock()
        if self.free < 1:
            self.refused += 1
            return False
        self.free -= 1
        self.taken += 1
        return True


@define(eq=False)
class Client:
    """Sends each call until it is taken."""

    server: Busy
    turns: Turns = field(factory=lambda: Turns(clock, random.Random(7)))
    sent: list[float] = field(factory=list)

    async def call(self) -> None:
        while True:
            async with self.turns.turn():
                self.sent.append(clock())
                await asyncio.sleep(0.01)
                if self.server.takes():
                    return self.turns.let_in()
                self.turns.turned_away(1.0)


@virtually
async def test_a_server_with_time_is_asked_at_once():
    """Nobody waits for anybody: a hundred calls are sent in the same instant."""
    client = Client(Busy(1000, free=1000))
    began = clock()
    await asyncio.gather(*(client.call() for _ in range(100)))
    assert set(client.sent) == {began}


@virtually
async def test_one_call_asks_for_all():
    """While the server turns away, one call at a time finds out when it takes again; the others are not refused."""
    client = Client(Busy(0.0))
    first = asyncio.create_task(client.call())
    await asyncio.sleep(0.5)
    others = [asyncio.create_task(client.call()) for _ in range(20)]
    await asyncio.sleep(4)
    assert 2 <= client.server.refused <= 4
    client.server.rate = client.server.free = 100
    await asyncio.gather(first, *others)
    assert client.server.refused <= 4


@virtually
async def test_after_peace_nobody_waits_any_more():
    """What was learned in the crowd is forgotten as often as calls are let in."""
    client = Client(Busy(0.0))
    first = asyncio.create_task(client.call())
    await asyncio.sleep(5)
    client.server.rate = client.server.free = 100
    await first
    for _ in range(6):
        await client.call()
    began, so_far = clock(), len(client.sent)
    await asyncio.gather(*(client.call() for _ in range(20)))
    assert set(client.sent[so_far:]) == {began}


@virtually
async def test_a_call_waits_for_ten_seconds_at_most():
    """A server that wants peace for long does not make the kubelet wait in vain: the call goes, and its error tells."""
    turns = Turns(clock, random.Random(1))
    turns.turned_away(60.0)
    began = clock()

    async def one() -> float:
        async with turns.turn():
            return clock() - began

    waited = await asyncio.gather(*(one() for _ in range(5)))
    assert [round(seconds, 1) for seconds in waited] == [MAX_WAIT] * 5


@virtually
async def test_a_scout_that_is_cancelled_makes_room():
    """Nobody waits for a call that was given up."""
    client = Client(Busy(0.0))
    scout = asyncio.create_task(client.call())
    await asyncio.sleep(3)
    other = asyncio.create_task(client.call())
    await asyncio.sleep(0)
    scout.cancel()
    client.server.rate = client.server.free = 100
    async with asyncio.timeout(MAX_WAIT / 2):
        await other


@virtually
async def test_a_thousand_clients_share_a_busy_server():
    """1,000 nodes with five calls each at 200 a second: all are done in twice the least time."""
    server = Busy(200, free=200, at=clock())
    clients = [Client(server, Turns(clock, random.Random(seed))) for seed in range(1000)]
    began = clock()

    async def life(client: Client) -> None:
        await asyncio.gather(client.call(), client.call(), client.call())
        await client.call()
        await client.call()

    await asyncio.gather(*map(life, clients))
    assert clock() - began < 2 * 5000 / 200
    assert server.taken == 5000
    assert server.refused < 7000


def test_a_thousand_that_are_turned_away_do_not_come_back_together():
    """Told to wait a second, they come back over the second after it, and over two seconds after the next refusal."""
    now = 0.0
    all_turns = [Turns(lambda: now, random.Random(seed)) for seed in range(1000)]
    for least in (1, 2, 4):
        waits = [turns.turned_away(1.0) for turns in all_turns]
        tenths = Counter(int(10 * (wait / least - 1)) for wait in waits)
        assert min(waits) >= least
        assert max(tenths.values()) < 200, tenths
        now += 10.0
