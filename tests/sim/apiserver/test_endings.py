"""How objects end: finalizers, grace periods, owners, namespaces, CRDs."""

import pytest

from nvdra.sim.apiserver.requests import Deletion


def owned(obj, kind, **more):
    """Metadata that names an owner."""
    reference = {"apiVersion": "v1", "kind": kind, "name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}
    return {"ownerReferences": [{**reference, **more}]}


def delete(world, path, name, **how):
    return world.store.delete(world.ref(path, name), Deletion(**how)).object


def test_finalizers_keep_an_object(world, refused):
    """Deletion marks it; it takes no new finalizers; it goes with the last one."""
    world.create("configmaps", "a", metadata={"finalizers": ["x/y", "x/z"]})
    marked = delete(world, "configmaps", "a")
    assert marked["metadata"]["deletionTimestamp"]
    with refused(422):
        world.patch("configmaps", "a", {"metadata": {"finalizers": ["x/y", "x/z", "x/new"]}})
    world.patch("configmaps", "a", {"metadata": {"finalizers": ["x/z"]}})
    assert world.names("configmaps") == ["a"]
    assert delete(world, "configmaps", "a")["metadata"]["finalizers"] == ["x/z"]
    world.patch("configmaps", "a", {"metadata": {"finalizers": None}})
    assert world.names("configmaps") == []


@pytest.mark.parametrize("condition", ["uid", "version"])
def test_deletion_has_preconditions(world, refused, condition):
    """Another uid or resourceVersion than the one named is a conflict; nothing is deleted."""
    made = world.create("configmaps", "a")
    with refused(409, "Conflict"):
        delete(world, "configmaps", "a", **{condition: "0815"})
    delete(world, "configmaps", "a", uid=made["metadata"]["uid"], version=made["metadata"]["resourceVersion"])
    with refused(404, "NotFound"):
        delete(world, "configmaps", "a")


def test_a_pod_on_a_node_takes_its_time(world, pod_spec):
    """It is marked with its grace period, and goes when the kubelet deletes it with none."""
    world.create("pods", "p", spec=pod_spec("n", terminationGracePeriodSeconds=7))
    marked = delete(world, "pods", "p")["metadata"]
    assert (marked["deletionTimestamp"], marked["deletionGracePeriodSeconds"]) == ("2027-01-15T08:00:07Z", 7)
    again = delete(world, "pods", "p")["metadata"]
    assert again == marked
    assert delete(world, "pods", "p", grace=3)["metadata"]["deletionGracePeriodSeconds"] == 3
    delete(world, "pods", "p", grace=0)
    assert world.names("pods") == []


def test_a_pod_without_a_node_goes_at_once(world, pod_spec):
    """Nobody has to stop it; the same holds for one that has ended."""
    world.create("pods", "p", spec=pod_spec())
    world.create("pods", "q", spec=pod_spec("n"))
    world.patch("pods:status", "q", {"status": {"phase": "Succeeded"}})
    delete(world, "pods", "p")
    delete(world, "pods", "q")
    assert world.names("pods") == []


def test_a_finalizer_outlives_the_grace_period(world, pod_spec):
    """Grace 0 does not take away what a finalizer keeps."""
    world.create("pods", "p", spec=pod_spec("n"), metadata={"finalizers": ["x/y"]})
    delete(world, "pods", "p", grace=0)
    assert world.names("pods") == ["p"]
    world.patch("pods", "p", {"metadata": {"finalizers": None}})
    assert world.names("pods") == []


def test_dependants_follow_their_owner(world, pod_spec):
    """Also across the border of namespaces when the owner, a Node, has none; and down the whole chain."""
    node = world.create("nodes", "n")
    pod = world.create("pods", "p", spec=pod_spec(), metadata=owned(node, "Node"))
    world.create("configmaps", "a", metadata=owned(pod, "Pod"))
    delete(world, "nodes", "n")
    assert (world.names("pods"), world.names("configmaps")) == ([], [])


def test_an_owner_of_two_is_missed_by_neither(world):
    """A dependant stays while one owner lives; the reference to the dead one is dropped."""
    one, two = world.create("secrets", "one"), world.create("secrets", "two")
    both = owned(one, "Secret")["ownerReferences"] + owned(two, "Secret")["ownerReferences"]
    world.create("configmaps", "a", metadata={"ownerReferences": both})
    delete(world, "secrets", "one")
    assert [o["name"] for o in world.get("configmaps", "a")["metadata"]["ownerReferences"]] == ["two"]
    delete(world, "secrets", "two")
    assert world.names("configmaps") == []


def test_an_owner_that_never_was_takes_its_dependant_along(world):
    """As the real collector does, only sooner."""
    world.create("configmaps", "a", metadata=owned({"metadata": {"name": "ghost", "uid": "0"}}, "Secret"))
    assert world.names("configmaps") == []


def test_foreground_deletion_waits_for_dependants(world):
    """The owner stays, marked, while a dependant that blocks it is kept by a finalizer."""
    one = world.create("secrets", "one")
    world.create("configmaps", "a", metadata={**owned(one, "Secret", blockOwnerDeletion=True), "finalizers": ["x/y"]})
    delete(world, "secrets", "one", policy="Foreground")
    assert world.get("secrets", "one")["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert "deletionTimestamp" in world.get("configmaps", "a")["metadata"]
    world.patch("configmaps", "a", {"metadata": {"finalizers": None}})
    assert (world.names("configmaps"), world.names("secrets")) == ([], [])


def test_orphans_are_left(world):
    """Orphan deletion takes the reference away and leaves the object."""
    one = world.create("secrets", "one")
    world.create("configmaps", "a", metadata=owned(one, "Secret"))
    delete(world, "secrets", "one", policy="Orphan")
    assert world.names("secrets") == []
    assert "ownerReferences" not in world.get("configmaps", "a")["metadata"]


def test_a_namespace_goes_with_its_content(world, refused):
    """It takes nothing new while something is left, and goes when the last object has gone."""
    world.create("namespaces", "n")
    inside = world.store.ref("", "v1", "configmaps", "n", "a")
    world.store.create(inside, {"metadata": {"name": "a", "finalizers": ["x/y"]}})
    world.store.create(inside, {"metadata": {"name": "b"}})
    delete(world, "namespaces", "n")
    assert world.get("namespaces", "n")["status"]["phase"] == "Terminating"
    with refused(403, "Forbidden"):
        world.store.create(inside, {"metadata": {"name": "c"}})
    world.store.patch(inside, "merge", {"metadata": {"finalizers": None}})
    assert "n" not in world.names("namespaces")


def test_a_definition_goes_with_its_objects(ours, domain, refused):
    """And with it what it offered."""
    ours.store.create(ours.ref("resource.nvidia.com/computedomains"), domain())
    delete(ours, "apiextensions.k8s.io/customresourcedefinitions", "computedomains.resource.nvidia.com")
    with refused(404):
        ours.store.ref("resource.nvidia.com", "v1beta1", "computedomains")
    assert ours.store.collection(ours.ref("configmaps")).entries == {}


def test_collections_are_deleted_by_selector(world):
    """Only what is selected goes."""
    from nvdra.sim.apiserver import selectors

    for name, label in (("a", "1"), ("b", "2"), ("c", "1")):
        world.create("configmaps", name, metadata={"labels": {"l": label}})
    ref = world.ref("configmaps")
    world.store.delete_collection(ref, selectors.parse(ref.resource, labels="l=1"))
    assert world.names("configmaps") == ["b"]
