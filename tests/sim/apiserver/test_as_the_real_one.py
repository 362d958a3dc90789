"""What the real API server was seen to add or leave out, where the embedded one once differed."""


def test_a_pod_stands_five_minutes_of_an_unreachable_node(world, pod_spec):
    """Both tolerations are added, but to a pod that says something else of that taint."""
    plain = world.create("pods", "plain", spec=pod_spec())["spec"]["tolerations"]
    assert {(t["key"], t["effect"], t["tolerationSeconds"]) for t in plain} == {
        ("node.kubernetes.io/not-ready", "NoExecute", 300),
        ("node.kubernetes.io/unreachable", "NoExecute", 300),
    }
    stays = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    found = world.create("pods", "stays", spec=pod_spec(tolerations=[stays]))["spec"]["tolerations"]
    assert stays in found
    assert [t["key"] for t in found if "tolerationSeconds" in t] == ["node.kubernetes.io/not-ready"]
    everything = world.create("pods", "everything", spec=pod_spec(tolerations=[{"operator": "Exists"}]))
    assert everything["spec"]["tolerations"] == [{"operator": "Exists"}]


def test_a_field_reference_is_of_version_1(world, pod_spec):
    """Of a pod and of a template alike."""
    variable = {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    spec = pod_spec()
    spec["containers"][0]["env"] = [variable]
    made = world.create("pods", "p", spec=spec)
    assert made["spec"]["containers"][0]["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"


def test_claims_count_no_generations(world):
    """ResourceClaims and their templates have none; DaemonSets do."""
    devices = {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}
    claim = world.create("resource.k8s.io/resourceclaims", "c", spec={"devices": devices})
    template = world.create("resource.k8s.io/resourceclaimtemplates", "t", spec={"spec": {"devices": devices}})
    assert "generation" not in claim["metadata"]
    assert "generation" not in template["metadata"]
