"""Faults that can be ordered: whom they strike, how often, and what has happened to the object."""

import asyncio

import aiohttp
import pytest

from nvdra.sim.apiserver.faults import Rule

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def session(api):
    async with aiohttp.ClientSession(api.url, headers={"User-Agent": "victim/1"}) as session:
        yield session


async def make(session, name="a"):
    async with session.post(MAPS, json={"metadata": {"name": name}}) as response:
        return response.status


@pytest.mark.parametrize(("sort", "there"), [("lose-before", False), ("lose-after", True)])
async def test_lost_before_or_after(api, session, sort, there):
    """The client sees a broken connection; the write was made, or not."""
    rule = api.faults.order(Rule(sort, verb="create", count=1))
    with pytest.raises(aiohttp.ClientError):
        await make(session)
    async with session.get(f"{MAPS}/a") as response:
        assert (response.status == 200, rule.hits) == (there, 1)


@pytest.mark.parametrize(
    ("sort", "code", "reason"),
    [("conflict", 409, "Conflict"), ("throttle", 429, "TooManyRequests"), ("error", 500, "InternalError")],
)
async def test_refusals(api, session, sort, code, reason):
    """Counted, with Retry-After where it belongs; then all is well again."""
    api.faults.order(Rule(sort, count=1, seconds=3))
    async with session.post(MAPS, json={"metadata": {"name": "a"}}) as response:
        body = await response.json()
        assert (response.status, body["reason"]) == (code, reason)
        assert response.headers.get("Retry-After") == ("3" if code == 429 else None)
    assert await make(session) == 201


async def test_rules_choose_their_victims(api, session):
    """By verb, resource, name and a part of the user agent."""
    for rule in (
        Rule("error", verb="delete"),
        Rule("error", resource="pods"),
        Rule("error", name="b"),
        Rule("error", agent="somebody"),
    ):
        api.faults.order(rule)
    assert await make(session) == 201
    api.faults.order(Rule("error", agent="victim"))
    assert await make(session, "c") == 500
    api.faults.cancel()
    assert await make(session, "c") == 201


async def test_probabilities_are_seeded(api, session):
    """The same seed strikes the same requests."""
    seen = []
    for _ in range(2):
        api.faults.random.seed(7)
        rule = Rule("error", verb="list", probability=0.5)
        api.faults.order(rule)
        codes = []
        for _ in range(12):
            async with session.get(MAPS) as response:
                codes.append(response.status)
        seen.append(codes)
        api.faults.cancel(rule)
    assert seen[0] == seen[1]
    assert set(seen[0]) == {200, 500}


async def test_delay_and_silence(api, session):
    """A delayed request is answered later, a silent one never."""
    api.faults.order(Rule("delay", count=1, seconds=0.01))
    assert await make(session) == 201
    api.faults.order(Rule("silence", count=1, seconds=0.01))
    with pytest.raises(aiohttp.ClientError):
        await make(session, "b")


async def test_stale_lists_and_gone(api, session):
    """A list from the past; and a list or watch that is told that its version is too old."""
    for name in "abc":
        await make(session, name)
    api.faults.order(Rule("stale", verb="list", count=1, versions=2))
    async with session.get(MAPS) as response:
        assert [item["metadata"]["name"] for item in (await response.json())["items"]] == ["a"]
    api.faults.order(Rule("gone", verb="list", count=1))
    async with session.get(MAPS) as response:
        assert response.status == 410
    api.faults.order(Rule("gone", verb="watch", count=1))
    async with session.get(MAPS, params={"watch": "1"}) as response:
        assert b'"code":410' in await response.content.readline()


async def test_repeated_events(api, session):
    """Watch events may come twice."""
    start = str(api.store.version)
    await make(session)
    api.faults.order(Rule("repeat", verb="watch"))
    async with asyncio.timeout(5), session.get(MAPS, params={"watch": "1", "resourceVersion": start}) as response:
        first = await response.content.readline()
        assert await response.content.readline() == first
