"""The Cluster port on the store, as the rack's own parts use it."""

import asyncio

import pytest

from nvdra import errors
from nvdra.api.kind import Kind
from nvdra.api.kinds import CLAIM_TEMPLATES, LEASES, NODES, PODS, RESOURCE_SLICES
from nvdra.ports import Cluster
from nvdra.sim.apiserver.inprocess import InProcess
from nvdra.sim.apiserver.store import ObjectStore

UNTYPED = Kind(dict, "Pod", "pods")


@pytest.fixture
def cluster():
    return InProcess(ObjectStore(), "rack")


def test_it_is_a_cluster(cluster):
    """Its methods are the port's."""
    port: Cluster = cluster
    assert port is cluster


async def test_typed_and_untyped(cluster, pod_spec):
    """A Kind of a class gives objects of it, one of dict gives JSON of the caller's own."""
    body = {"metadata": {"name": "p"}, "spec": pod_spec("n")}
    made = await cluster.create(PODS, body, "default")
    assert (made.metadata.name, made.spec.nodeName) == ("p", "n")
    plain = await cluster.get(UNTYPED, "p", "default")
    plain["spec"]["nodeName"] = "scribbled"
    assert (await cluster.get(PODS, "p", "default")).spec.nodeName == "n"
    assert body == {"metadata": {"name": "p"}, "spec": pod_spec("n")}


async def test_errors_are_the_engines(cluster, pod_spec):
    """Each refusal is the error that the engine knows; a failed test of a JSON patch is a Conflict."""
    body = {"metadata": {"name": "p"}, "spec": pod_spec()}
    await cluster.create(PODS, body, "default")
    with pytest.raises(errors.AlreadyExists):
        await cluster.create(PODS, body, "default")
    with pytest.raises(errors.NotFound):
        await cluster.get(PODS, "q", "default")
    with pytest.raises(errors.Conflict):
        await cluster.patch(PODS, "p", [{"op": "test", "path": "/spec/nodeName", "value": "x"}], "default", how="json")
    with pytest.raises(errors.Conflict):
        await cluster.delete(PODS, "p", "default", uid="other")
    with pytest.raises(errors.ApiError) as found:
        await cluster.patch(PODS, "p", [{"op": "remove", "path": "/spec/nodeName"}], "default", how="json")
    assert found.value.code == 422
    cluster.store.collection(cluster.store.ref("", "v1", "pods")).forgotten = 10**6
    with pytest.raises(errors.Gone):
        await anext(cluster.watch(PODS, "1"))
    await cluster.delete(PODS, "none", "default")


async def test_watching(cluster):
    """Events come typed, deletions too; the end of the store's watches is the end."""
    listing = await cluster.list(NODES)
    seen = []

    async def follow():
        seen.extend(
            [(e.type, e.object.metadata.name) async for e in cluster.watch(NODES, listing.version, labels="a=1")]
        )

    task = asyncio.create_task(follow())
    await cluster.create(NODES, {"metadata": {"name": "n", "labels": {"a": "1"}}})
    await cluster.patch(NODES, "n", {"metadata": {"labels": {"a": None}}})
    async with asyncio.timeout(5):
        while len(seen) < 2 and not task.done():
            await asyncio.sleep(0)
            if [w for w in cluster.store.hub.everybody() if not w.backlog]:
                for watcher in cluster.store.hub.everybody():
                    watcher.close()
        await task
    assert seen == [("ADDED", "n"), ("DELETED", "n")]


async def test_versions_and_apply(cluster):
    """Other API versions of a kind work; apply takes over by force."""
    old = RESOURCE_SLICES.at("v1beta1")
    spec = {"driver": "d.io", "nodeName": "n", "pool": {"name": "n", "resourceSliceCount": 1}}
    made = await cluster.create(
        old, {"metadata": {"name": "s"}, "spec": {**spec, "devices": [{"name": "a", "basic": {}}]}}
    )
    assert made.spec.devices[0].basic is not None
    assert (await cluster.get(RESOURCE_SLICES, "s")).spec.devices[0].basic is None
    template = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": "t"},
        "spec": {"spec": {}},
    }
    assert (await cluster.patch(CLAIM_TEMPLATES, "t", template, "default", how="apply")).metadata.name == "t"


async def test_replace_and_count(cluster):
    """A stale replace is a Conflict; requests are counted under the agent's name."""
    body = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}
    made = await cluster.create(LEASES, body, "default")
    versioned = {**body, "metadata": {"name": "l", "resourceVersion": made.metadata.resourceVersion}}
    await cluster.replace(LEASES, "l", {**versioned, "spec": {"holderIdentity": "b"}}, "default")
    with pytest.raises(errors.Conflict):
        await cluster.replace(LEASES, "l", {**versioned, "spec": {"holderIdentity": "c"}}, "default")
    counts = cluster.store.counters.snapshot()
    assert counts.total(agent="rack", verb="update", resource="leases", code=409) == 1


async def test_a_kubelet_removes_a_pod(cluster, pod_spec):
    """Deletion marks a pod that runs; grace 0 with its uid removes it."""
    made = await cluster.create(PODS, {"metadata": {"name": "p"}, "spec": pod_spec("n")}, "default")
    await cluster.delete(PODS, "p", "default")
    assert (await cluster.get(PODS, "p", "default")).metadata.deleting
    await cluster.delete(PODS, "p", "default", uid=made.metadata.uid, grace=0)
    assert (await cluster.list(PODS)).items == ()
