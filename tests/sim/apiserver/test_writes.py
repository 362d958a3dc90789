"""Creating and changing objects: what the server adds, keeps and refuses."""

import pytest

from nvdra.sim.apiserver.requests import Writing


def test_the_server_adds_metadata(world):
    """A new object has a uid, a version, a time and, where the kind counts, a generation."""
    made = world.create("configmaps", "a", data={"k": "v"})
    other = world.create("configmaps", "b")
    assert made["metadata"]["creationTimestamp"] == "2027-01-15T08:00:00Z"
    assert made["metadata"]["uid"] != other["metadata"]["uid"]
    assert int(other["metadata"]["resourceVersion"]) == int(made["metadata"]["resourceVersion"]) + 1
    assert "generation" not in made["metadata"]


def test_generated_names(world):
    """GenerateName gives five letters of Kubernetes' alphabet, new ones each time."""
    names = {
        world.store.create(world.ref("configmaps"), {"metadata": {"generateName": "a-"}}).meta["name"]
        for _ in range(50)
    }
    assert len(names) == 50
    assert all(len(name) == 7 and set(name[2:]) <= set("bcdfghjklmnpqrstvwxz2456789") for name in names)


def test_names_are_taken_once(world, refused):
    """A second object of a name is AlreadyExists."""
    world.create("configmaps", "a")
    with refused(409, "AlreadyExists"):
        world.create("configmaps", "a")


@pytest.mark.parametrize(
    ("path", "name", "good"),
    [
        ("configmaps", "a.b-c", True),
        ("configmaps", "A", False),
        ("configmaps", "a_b", False),
        ("configmaps", "-a", False),
        ("configmaps", "a" * 254, False),
        ("services", "a.b", False),
        ("rbac.authorization.k8s.io/clusterroles", "system:node", True),
        ("rbac.authorization.k8s.io/clusterroles", "a/b", False),
    ],
)
def test_names_are_checked(world, path, name, good, refused):
    """Each kind has its rule for names."""
    if good:
        assert world.create(path, name)["metadata"]["name"] == name
        return
    with refused(422, "Invalid"):
        world.create(path, name)


def test_a_namespace_must_be_there(world, refused):
    """Nothing is created in a namespace that nobody made."""
    ref = world.store.ref("", "v1", "configmaps", "nowhere")
    with refused(404, "NotFound"):
        world.store.create(ref, {"metadata": {"name": "a"}})


def test_a_body_of_another_kind_is_refused(world, refused):
    """ApiVersion and kind must fit the path; namespace too."""
    ref = world.ref("configmaps")
    with refused(400):
        world.store.create(ref, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}})
    with refused(400):
        world.store.create(ref, {"metadata": {"name": "a", "namespace": "kube-system"}})


def test_generation_counts_changes_of_the_spec_alone(world, pod_spec):
    """Labels and status leave the generation alone; the spec moves it."""
    world.create("pods", "p", spec=pod_spec())
    world.patch("pods", "p", {"metadata": {"labels": {"a": "b"}}})
    world.patch("pods:status", "p", {"status": {"phase": "Running"}})
    assert world.get("pods", "p")["metadata"]["generation"] == 1
    world.patch("pods", "p", {"spec": {"nodeName": "n"}})
    assert world.get("pods", "p")["metadata"]["generation"] == 2


def test_status_and_spec_are_written_apart(world, pod_spec):
    """The object ignores a status, the status subresource ignores a spec."""
    world.create("pods", "p", spec=pod_spec(), status={"phase": "Succeeded"})
    assert world.get("pods", "p")["status"]["phase"] == "Pending"
    world.patch("pods", "p", {"status": {"phase": "Running"}})
    assert world.get("pods", "p")["status"]["phase"] == "Pending"
    world.patch("pods:status", "p", {"spec": {"nodeName": "n"}, "status": {"phase": "Running"}})
    assert (world.get("pods", "p")["status"]["phase"], world.get("pods", "p")["spec"].get("nodeName")) == (
        "Running",
        None,
    )


def test_a_change_that_changes_nothing_is_no_write(world):
    """No new version, no event."""
    before = world.create("configmaps", "a", data={"k": "v"})
    watcher = world.store.watch(world.ref("configmaps"), version=str(world.store.version))
    assert world.patch("configmaps", "a", {"data": {"k": "v"}}) == before
    assert not watcher.take()


def test_stale_writes_are_conflicts(world, refused):
    """A PUT or a patch that names another resourceVersion or uid than the current one writes nothing."""
    old = world.create("configmaps", "a", data={"k": "1"})
    world.patch("configmaps", "a", {"data": {"k": "2"}})
    ref = world.ref("configmaps", "a")
    with refused(409, "Conflict"):
        world.store.update(ref, dict(old))
    with refused(409, "Conflict"):
        world.patch(
            "configmaps", "a", {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}, "data": {"k": "3"}}
        )
    with refused(409, "Conflict"):
        world.patch("configmaps", "a", {"metadata": {"uid": "another"}, "data": {"k": "3"}})
    assert world.get("configmaps", "a")["data"] == {"k": "2"}


def test_a_put_without_version_is_unconditional_where_allowed(world, ours, domain, refused):
    """Core kinds take it; custom resources and leases want a resourceVersion."""
    world.create("configmaps", "a")
    world.store.update(world.ref("configmaps", "a"), {"metadata": {"name": "a"}, "data": {"k": "v"}})
    assert world.get("configmaps", "a")["data"] == {"k": "v"}
    ours.store.create(ours.ref("resource.nvidia.com/computedomains"), domain())
    with refused(422):
        ours.store.update(ours.ref("resource.nvidia.com/computedomains", "cd"), domain())
    world.create("coordination.k8s.io/leases", "l")
    with refused(422):
        world.store.update(world.ref("coordination.k8s.io/leases", "l"), {"metadata": {"name": "l"}})


def test_what_belongs_to_the_server_stays(world):
    """Uid and creationTimestamp cannot be written."""
    made = world.create("configmaps", "a")
    world.patch("configmaps", "a", {"metadata": {"creationTimestamp": "2000-01-01T00:00:00Z", "labels": {"x": "y"}}})
    assert world.get("configmaps", "a")["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]


def test_dry_run_writes_nothing(world):
    """The answer is the object that would be; the store is as before."""
    dry = Writing(dry_run=True)
    world.create("configmaps", "a", dry)
    assert world.names("configmaps") == []
    world.create("configmaps", "a")
    assert world.patch("configmaps", "a", {"data": {"k": "v"}}, dry_run=True)["data"] == {"k": "v"}
    assert "data" not in world.get("configmaps", "a")


def test_labels_are_checked(world, refused):
    """A label that Kubernetes does not take is refused, on create and on patch."""
    with refused(422):
        world.create("configmaps", "a", metadata={"labels": {"x": "not good"}})
    world.create("configmaps", "a")
    with refused(422):
        world.patch("configmaps", "a", {"metadata": {"labels": {"a/b/c": "x"}}})


def test_unknown_fields_of_built_in_kinds(world, pod_spec, refused):
    """Strict refuses them with their paths, Warn drops and tells, and wrong types are refused."""
    bad = {"metadata": {"name": "p"}, "spec": pod_spec(nodName="x")}
    with refused(400) as found:
        world.store.create(world.ref("pods"), dict(bad), Writing(validation="Strict"))
    assert 'strict decoding error: unknown field "spec.nodName"' in found.error.message
    told = []
    made = world.store.create(world.ref("pods"), dict(bad), Writing(validation="Warn", warn=told.append)).object
    assert (told, "nodName" in made["spec"]) == (['unknown field "spec.nodName"'], False)
    with refused(400):
        world.create("pods", "q", Writing(validation="Warn"), spec={"containers": "none"})


def test_pods_stay_as_they_are(world, pod_spec, refused):
    """A node is given once; containers do not change but for their image."""
    world.create("pods", "p", spec=pod_spec())
    world.patch("pods", "p", {"spec": {"nodeName": "a"}})
    with refused(422):
        world.patch("pods", "p", {"spec": {"nodeName": "b"}})
    with refused(422):
        world.patch("pods", "p", {"spec": {"containers": [{"name": "c", "image": "i:1", "command": ["x"]}]}})
    with refused(409):
        world.store.bind(world.ref("pods", "p"), {"target": {"name": "c"}})


def test_a_namespace_has_its_label_and_phase(world):
    """As the real one makes them."""
    made = world.create("namespaces", "n")
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
    assert made["status"] == {"phase": "Active"}


def test_a_seeded_store_repeats_itself(world_with):
    """Uids and generated names come from the store's Random alone."""
    from random import Random

    made = [world_with(random=Random(7)).store.create for _ in range(2)]
    ref = world_with().ref("configmaps")
    first, second = (create(ref, {"metadata": {"generateName": "a-"}}).object for create in made)
    assert first == second
