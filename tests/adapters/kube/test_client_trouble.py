import asyncio
import json
import re

import pytest

from nvdra.adapters.kube.answers import Call, Failure, failure_of
from nvdra.adapters.kube.rate import Bucket
from nvdra.api.kinds import EVENTS, LEASES, NODES
from nvdra.errors import Again, ApiError, ConfigError


def node():
    return {"metadata": {"name": "a"}}


async def collect(events):
    return [event async for event in events]


async def test_turned_away_and_let_in(script, client, wire):
    """429 and 503 with Retry-After are sent again, also a create: the request was not looked at."""
    script.gives(
        wire.reply(429, wire.failure(429), Retry_After=0),
        wire.reply(503, wire.failure(503), Retry_After=0),
        wire.reply(201, {"metadata": {"name": "e"}}),
    )
    assert (await client.create(EVENTS, {}, "ns")).metadata.name == "e"


async def test_a_heartbeat_does_not_stand_behind_other_calls(script, client, wire):
    """A busy server has turned a call away for a minute: the Lease is asked for, and its refusal told, at once."""
    busy = wire.reply(429, wire.failure(429), Retry_After=60)
    script.gives(busy, wire.reply(200, {"metadata": {"name": "l"}}), busy)
    other = asyncio.create_task(client.get(NODES, "a"))
    while not script.asked or not client._requests._turns.crowded:
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert (await client.get(LEASES, "l", "ns")).metadata.name == "l"
        with pytest.raises(ApiError, match="429"):
            await client.get(LEASES, "l", "ns")
    other.cancel()


async def test_who_was_turned_away_speaks_for_all(script, client, wire):
    """While one call waits for a busy server, the others of the same process wait too, and are not sent to be refused."""
    found = wire.reply(200, {"metadata": {"name": "a"}})
    script.gives(wire.reply(429, wire.failure(429), Retry_After=1), found, found)
    first = asyncio.create_task(client.get(NODES, "a"))
    while not script.asked or not client._requests._turns.crowded:
        await asyncio.sleep(0)
    second = asyncio.create_task(client.get(NODES, "a"))
    for _ in range(100):
        await asyncio.sleep(0.001)
        assert len(script.asked) == 1
    assert [(await call).metadata.name for call in (first, second)] == ["a", "a"]


async def test_turned_away_for_too_long(script, client, wire):
    """A server that asks for more than ten seconds gets them from the engine, not from us."""
    script.gives(wire.reply(429, wire.failure(429, message="busy"), Retry_After=20))
    with pytest.raises(ApiError, match="busy") as caught:
        await client.create(EVENTS, {}, "ns")
    assert (caught.value.code, caught.value.after, len(script.asked)) == (429, 20.0, 1)


async def test_a_plain_503_of_a_write_is_not_sent_again(script, client, wire):
    """Without Retry-After nobody knows whether it took effect."""
    script.gives(wire.reply(503, b"<html>a proxy\xff</html>"))
    with pytest.raises(ApiError, match="503 Service Unavailable: <html>a proxy"):
        await client.create(EVENTS, {}, "ns")
    assert len(script.asked) == 1


async def test_a_refused_token_is_read_anew(script, client_of, wire):
    """A 401 asks for a fresh token once; a second one is the caller's."""

    class Renewing:
        reads = 0

        async def header(self, *, fresh=False):
            self.reads += fresh
            return f"Bearer {self.reads}"

    script.gives(wire.reply(401, wire.failure(401)), wire.reply(200, node()), *[wire.reply(401, wire.failure(401))] * 2)
    client = client_of(script.port, Renewing())
    await client.get(NODES, "a")
    with pytest.raises(ApiError, match="401"):
        await client.get(NODES, "a")
    assert [asked.headers["Authorization"] for asked in script.asked] == [
        "Bearer 0",
        "Bearer 1",
        "Bearer 1",
        "Bearer 2",
    ]


async def test_every_answer_is_counted(script, client_of, wire):
    """Verb, resource and code of each answer; 0 where there was none."""
    counted = []
    client = client_of(script.port, observe=lambda *what: counted.append(what[:3]))
    script.gives(
        wire.reply(200, node()),
        wire.reply(404, wire.failure(404)),
        None,
        wire.CHUNKED + wire.END,
        wire.reply(200, node()),
    )
    await client.get(NODES, "a")
    await client.delete(NODES, "a")
    with pytest.raises(Again):
        await client.create(NODES, {})
    await collect(client.watch(NODES, "1"))
    await client.patch(NODES, "a", {}, subresource="status")
    assert counted == [
        ("get", "nodes", 200),
        ("delete", "nodes", 404),
        ("create", "nodes", 0),
        ("watch", "nodes", 200),
        ("patch", "nodes/status", 200),
    ]


async def test_nobody_there(client_of):
    """A refused connection is Again, with verb, path, server and cause."""
    with pytest.raises(
        Again, match=r"POST /apis/coordination.k8s.io/v1/namespaces/ns/leases at http://127.0.0.1:1: .*[Cc]onn"
    ):
        await client_of(1).create(LEASES, {}, "ns")


@pytest.mark.parametrize(
    ("served", "override", "found"),
    [
        (["v1alpha3", "v1beta1"], "", "v1beta1"),
        (["v1", "v1beta2", "v1beta1"], "", "v1"),
        (["v1beta1", "v1beta2"], "", "v1beta2"),
        ([], "v1beta1", "v1beta1"),
    ],
)
async def test_the_newest_common_version(script, client, wire, served, override, found):
    """The newest version that both speak; an override is taken as it is."""
    script.gives(
        wire.reply(
            200,
            {"kind": "APIGroup", "versions": [{"groupVersion": f"resource.k8s.io/{v}", "version": v} for v in served]},
        )
    )
    assert await client.resource_version_of_api(override) == found


async def test_no_common_version(script, client, wire):
    """A cluster without DRA, or with one that we do not speak, is named with the way out."""
    script.gives(wire.reply(404, wire.failure(404)), wire.reply(200, {"versions": [{"version": "v9"}]}))
    for words in ("serves nothing of it of resource.k8s.io", "serves v9 of resource.k8s.io"):
        with pytest.raises(ConfigError, match=f"{words}, and we speak v1, v1beta2, v1beta1: enable"):
            await client.resource_version_of_api()
    with pytest.raises(ConfigError, match="v7: we speak"):
        await client.resource_version_of_api("v7")


async def test_a_wrong_patch_is_a_fault_of_ours(client):
    """A JSON patch is a list, the others are not."""
    with pytest.raises(TypeError, match="a merge patch must be an object"):
        await client.patch(NODES, "a", [])


def test_the_bucket_rations(virtually):
    """After the burst, requests go out at the rate, in order."""

    async def main(loop):
        bucket, begun, out = Bucket(10, 3, loop.time), loop.time(), []

        async def go(number):
            await bucket.take()
            out.append((number, round(loop.time() - begun, 3)))

        await asyncio.gather(*(go(number) for number in range(6)))
        return out

    assert virtually(main) == [(0, 0), (1, 0), (2, 0), (3, 0.1), (4, 0.2), (5, 0.3)]


def test_text_is_stable():
    """Nothing in an error's text changes from one try to the next."""
    one, two = (Call("watch", "GET", "nodes", f"/api/v1/nodes?resourceVersion={v}&timeoutSeconds={v}") for v in (1, 2))
    assert str(Failure(500).error(one, "s")) == str(Failure(500).error(two, "s"))
    assert re.search("resourceVersion", str(Failure(500).error(one, "s"))) is None
    assert json.dumps(Failure(500).error(one, "s").args)


@pytest.mark.parametrize("text", ["\xb2", "-1", "1.5", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_time_that_cannot_be_read_is_none(text):
    """Whatever a proxy writes into Retry-After: a number of seconds is one, anything else says nothing."""
    assert failure_of(429, {"retry-after": text}, b"").retry_after is None
