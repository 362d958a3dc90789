"""The client, the elector and the announcer against the embedded API server, over real HTTP."""

import asyncio
import re

import pytest

from nvdra.adapters.kube.election import Election
from nvdra.adapters.kube.events import EventAnnouncer
from nvdra.adapters.kube.reflector import Reflector
from nvdra.api.kinds import EVENTS, LEASES, NODES, PODS
from nvdra.engine.store import Store
from nvdra.errors import AlreadyExists, ApiError, Conflict, NotFound
from nvdra.ports import Subject

pytest.importorskip("aiohttp")
from nvdra.sim.apiserver.faults import Rule
from nvdra.sim.apiserver.server import ApiServer

MANIFEST = {"metadata": {"name": "a", "labels": {"l": "1"}}}


@pytest.fixture
async def api():
    async with ApiServer() as api:
        yield api


@pytest.fixture
async def client(api, client_of):
    client = client_of(int(api.url.rsplit(":", 1)[1]))
    yield client
    await client.close()


async def test_the_life_of_an_object(client):
    """Create, read, patch each way, replace, delete, with the conflicts that belong there."""
    made = await client.create(NODES, MANIFEST)
    with pytest.raises(AlreadyExists):
        await client.create(NODES, MANIFEST)
    test = {"op": "test", "path": "/metadata/labels/l"}
    await client.patch(
        NODES, "a", [test | {"value": "1"}, {"op": "replace", "path": "/metadata/labels/l", "value": "2"}], how="json"
    )
    with pytest.raises(Conflict):
        await client.patch(
            NODES, "a", [test | {"value": "1"}, {"op": "remove", "path": "/metadata/labels/l"}], how="json"
        )
    with pytest.raises(Conflict):
        await client.replace(NODES, "a", {"metadata": {"name": "a", "resourceVersion": made.metadata.resourceVersion}})
    await client.patch(NODES, "a", {"metadata": {"annotations": {"x": "y"}}})
    await client.patch(NODES, "a", {"metadata": {"name": "a", "labels": {"mine": "yes"}}}, how="apply")
    found = await client.get(NODES, "a")
    assert (found.metadata.labels, found.metadata.annotations) == ({"l": "2", "mine": "yes"}, {"x": "y"})
    with pytest.raises(Conflict):
        await client.delete(NODES, "a", uid="another")
    await client.delete(NODES, "a", uid=found.metadata.uid)
    await client.delete(NODES, "a")
    with pytest.raises(NotFound):
        await client.get(NODES, "a")


async def test_lists_in_pages_with_selectors(api, client_of):
    """More objects than a page holds come whole."""
    client = client_of(int(api.url.rsplit(":", 1)[1]), qps=1e6)
    for number in range(501):
        await client.create(NODES, {"metadata": {"name": f"n{number}", "labels": {"odd": str(number % 2)}}})
    assert len((await client.list(NODES)).items) == 501
    assert len((await client.list(NODES, labels="odd=1")).items) == 250
    await client.close()


async def test_faults_of_the_server(api, client):
    """Throttled requests get through, errors have their code."""
    await client.create(NODES, MANIFEST)
    api.faults.order(Rule("throttle", verb="get", count=1, seconds=0))
    assert (await client.get(NODES, "a")).metadata.name == "a"
    api.faults.order(Rule("error", verb="get", count=1))
    with pytest.raises(ApiError, match="500"):
        await client.get(NODES, "a")
    with pytest.raises(ApiError):
        await client.list(PODS, fields="spec.noSuchField=1")


async def test_versions_of_resource_k8s_io(client):
    """Discovery is understood."""
    assert await client.resource_version_of_api() == "v1"


async def test_one_leads_and_the_next_follows(client):
    """A real Lease passes from one to the other on release."""
    one, two = (Election(client, "nvdra", "default", name) for name in ("one", "two"))
    led, go = asyncio.Event(), asyncio.Event()

    async def first():
        led.set()
        await go.wait()

    leading = asyncio.ensure_future(one.lead(first))
    await led.wait()
    held = (await client.get(LEASES, "nvdra", "default")).spec
    assert ("one", 15, 0, held.renewTime) == (
        held.holderIdentity,
        held.leaseDurationSeconds,
        held.leaseTransitions,
        held.acquireTime,
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", held.renewTime or "")
    go.set()
    await leading
    await two.lead(_nothing)
    spec = (await client.get(LEASES, "nvdra", "default")).spec
    assert (spec.holderIdentity, spec.leaseDurationSeconds, spec.leaseTransitions) == ("", 1, 1)


async def _nothing():
    return None


async def test_events_reach_the_server(client):
    """An announced Event can be read back."""
    announcer = EventAnnouncer(client, "nvdra")
    task = asyncio.ensure_future(announcer.run())
    announcer.tell(Subject("v1", "Node", "a"), "Hello", "world")
    await announcer.flush(5)
    announcer.tell(Subject("v1", "Node", "a"), "Hello", "world")
    await announcer.flush(5)
    task.cancel()
    assert [(e.reason, e.message) for e in (await client.list(EVENTS)).items] == [("Hello", "world")]


async def test_a_reflector_catches_up(api, client):
    """With a 410 and a lost connection on its way, the engine's store ends up as the server's."""
    store = Store(lambda key: None)
    kept = Reflector(client, NODES, store)
    await client.create(NODES, {"metadata": {"name": "a"}})
    api.faults.order(Rule("gone", verb="watch", resource="nodes", count=1))
    api.faults.order(Rule("lose-before", verb="watch", resource="nodes", count=1))
    task = asyncio.ensure_future(kept.run())
    for name in "bcd":
        await client.create(NODES, {"metadata": {"name": name}})
    await client.delete(NODES, "b")
    async with asyncio.timeout(10):
        while {node.metadata.name for node in store.all(NODES)} != {"a", "c", "d"} or kept.trouble:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert kept.has_synced
