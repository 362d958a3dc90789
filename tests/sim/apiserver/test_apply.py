"""Server-side apply: ownership, conflicts, and what goes when nobody wants it any more."""


def config(data, **meta):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **meta}, "data": data}


def test_apply_creates_and_merges(world):
    """The first apply makes the object; another manager's fields stay."""
    world.patch("configmaps", "a", config({"x": "1"}), "apply", manager="one")
    world.patch("configmaps", "a", config({"y": "2"}), "apply", manager="two")
    assert world.get("configmaps", "a")["data"] == {"x": "1", "y": "2"}
    managers = {m["manager"]: m["fieldsV1"] for m in world.get("configmaps", "a")["metadata"]["managedFields"]}
    assert managers == {"one": {"f:data": {"f:x": {}}}, "two": {"f:data": {"f:y": {}}}}


def test_what_a_manager_no_longer_sends_goes(world):
    """Unless somebody else wants it too."""
    world.patch("configmaps", "a", config({"x": "1", "y": "1", "z": "1"}), "apply", manager="one")
    world.patch("configmaps", "a", config({"y": "1"}), "apply", manager="two")
    world.patch("configmaps", "a", config({"z": "1"}), "apply", manager="one")
    assert world.get("configmaps", "a")["data"] == {"y": "1", "z": "1"}


def test_another_managers_value_is_a_conflict(world, refused):
    """409 that names manager and field; force takes the field over; equal values are shared."""
    world.patch("configmaps", "a", config({"x": "1"}), "apply", manager="one")
    with refused(409, "Conflict") as found:
        world.patch("configmaps", "a", config({"x": "2"}), "apply", manager="two")
    assert 'conflict with "one": .data.x' in found.error.message
    assert found.error.details["causes"][0]["field"] == ".data.x"
    world.patch("configmaps", "a", config({"x": "2"}), "apply", manager="two", force=True)
    world.patch("configmaps", "a", config({"x": "2"}), "apply", manager="three")
    assert world.get("configmaps", "a")["data"] == {"x": "2"}


def test_an_update_takes_fields_over(world, refused):
    """A plain patch changes what it likes; the applier then has a conflict with it."""
    world.patch("configmaps", "a", config({"x": "1"}), "apply", manager="one")
    world.patch("configmaps", "a", {"data": {"x": "2"}}, manager="editor")
    with refused(409) as found:
        world.patch("configmaps", "a", config({"x": "1"}), "apply", manager="one")
    assert '"editor"' in found.error.message


def test_applying_the_same_again_is_no_write(world):
    """The version stays."""
    first = world.patch("configmaps", "a", config({"x": "1"}), "apply", manager="one")
    world.clock.now += 60
    again = world.patch("configmaps", "a", config({"x": "1"}), "apply", manager="one")
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_lists_of_named_things(world):
    """Items are merged by their keys, conditions and owners too; an item nobody wants goes whole."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    one = {**pod, "spec": {"containers": [{"name": "c", "image": "i:1", "env": [{"name": "A", "value": "1"}]}]}}
    world.patch("pods", "p", one, "apply", manager="one")
    for manager, kind in (("x", "Ready"), ("y", "Other")):
        status = {**pod, "status": {"conditions": [{"type": kind, "status": "True"}]}}
        world.patch("pods:status", "p", status, "apply", manager=manager)
    found = world.get("pods", "p")["status"]
    assert [c["type"] for c in found["conditions"]] == ["Ready", "Other"]
    world.patch("pods:status", "p", {**pod, "status": {}}, "apply", manager="x")
    assert [c["type"] for c in world.get("pods", "p")["status"]["conditions"]] == ["Other"]


def test_an_item_stays_while_somebody_wants_a_field_of_it(world):
    """Fields go one by one, the item with its last; whatever the order of sets."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    world.create("pods", "p", spec={"containers": [{"name": "c", "image": "i"}]})

    def apply(manager, **fields):
        conditions = [{"type": "A", **fields}] if fields else []
        patch = {**pod, "status": {"conditions": conditions}}
        world.patch("pods:status", "p", patch, "apply", manager=manager, force=True)
        return world.get("pods", "p")["status"].get("conditions")

    apply("x", status="True", reason="R", message="M")
    apply("y", status="True")
    assert apply("x") == [{"type": "A", "status": "True"}]
    assert apply("y") is None


def test_lists_of_custom_resources_follow_their_schema(ours, domain):
    """x-kubernetes-list-map-keys decide."""
    ours.store.create(ours.ref("resource.nvidia.com/computedomains"), domain())
    base = {"apiVersion": "resource.nvidia.com/v1beta1", "kind": "ComputeDomain"}
    for manager, kind in (("x", "Ready"), ("y", "Formed")):
        patch = {**base, "status": {"status": "NotReady", "conditions": [{"type": kind, "status": "True"}]}}
        ours.patch("resource.nvidia.com/computedomains:status", "cd", patch, "apply", manager=manager, force=True)
    found = ours.get("resource.nvidia.com/computedomains", "cd")["status"]
    assert [condition["type"] for condition in found["conditions"]] == ["Ready", "Formed"]


def test_finalizers_are_a_set(world):
    """Each manager owns its own."""
    world.patch("configmaps", "a", config({}, finalizers=["x/one"]), "apply", manager="one")
    world.patch("configmaps", "a", config({}, finalizers=["x/two"]), "apply", manager="two")
    world.patch("configmaps", "a", config({}), "apply", manager="one")
    assert world.get("configmaps", "a")["metadata"]["finalizers"] == ["x/two"]


def test_preconditions_of_an_apply(world, refused):
    """A uid in the body must be the object's."""
    world.patch("configmaps", "a", config({"x": "1"}), "apply", manager="one")
    with refused(409, "Conflict"):
        world.patch("configmaps", "a", config({"x": "1"}, uid="other"), "apply", manager="one")


def test_a_network_policys_selector_and_rules_are_one_value_each(world):
    """Who applies them takes them whole: nothing that another added to them stays; beside them it does."""
    mine = {"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [{"ports": [{"protocol": "TCP", "port": 1}]}]}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": mine}
    path = "networking.k8s.io/networkpolicies"
    world.patch(path, "p", policy, "apply", manager="one")
    more = {"podSelector": {"matchLabels": {"c": "d"}}, "ingress": [{}], "egress": [{}]}
    world.patch(path, "p", {"spec": more}, manager="two")
    world.patch(path, "p", policy, "apply", manager="one", force=True)
    assert world.get(path, "p")["spec"] == {**mine, "egress": [{}], "policyTypes": ["Ingress"]}
