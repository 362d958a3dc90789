"""The admission policies let pass what our processes do, and nothing else. Their CEL is evaluated here by celpy."""

import copy
import functools
import json
from typing import Any

import pytest
from celpy import Environment
from celpy.adapter import json_to_cel

from nvdra.api import names
from tests.chart.helm import Json, one, rendered

pytestmark = pytest.mark.chart
STEM = "system:serviceaccount:nvidia-dra-driver-gpu:nvidia-dra-driver-k8s-dra-driver-service-account"
PLUGIN, CONTROLLER = f"{STEM}-kubeletplugin", f"{STEM}-controller"
ENVIRONMENT = Environment()


@functools.cache
def program(expression: str) -> Any:
    return ENVIRONMENT.program(ENVIRONMENT.compile(expression))


def evaluated(expression: str, world: dict[str, Any]) -> Any:
    return program(expression).evaluate({k: json_to_cel(v) for k, v in world.items()})


def refusals(
    policy: str, old: Json | None, new: Json | None, user: str = PLUGIN, node: str | None = "node-1", *settings: str
) -> list[str]:
    """The messages of the validations that fail; none when it passes, or when the policy is not about that user."""
    spec = one(rendered(*settings), "ValidatingAdmissionPolicy", f"-{policy}")["spec"]
    extra = {"extra": {"authentication.kubernetes.io/node-name": [node]}} if node else {}
    world: dict[str, Any] = {"object": new, "oldObject": old, "request": {"userInfo": {"username": user, **extra}}}
    if not all(evaluated(c["expression"], world) for c in spec["matchConditions"]):
        return []
    variables: Json = {}
    for variable in spec["variables"]:
        variables[variable["name"]] = json.loads(
            json.dumps(evaluated(variable["expression"], {**world, "variables": variables}))
        )
    asked = {**world, "variables": variables}
    return [
        v.get("message") or str(evaluated(v["messageExpression"], asked))
        for v in spec["validations"]
        if not evaluated(v["expression"], asked)
    ]


def a_slice(node: str | None = "node-1", driver: str = names.CD_DRIVER) -> Json:
    return {
        "metadata": {"name": "s"},
        "spec": {"driver": driver, **({"nodeName": node} if node else {"allNodes": True})},
    }


def an_object(name: str = "node-1", spec: Json | None = None, **meta: Any) -> Json:
    return {
        "metadata": {"name": name, **copy.deepcopy(meta)},
        "spec": spec or {"nodeName": "node-1", "unschedulable": False},
    }


def test_a_plugin_publishes_its_own_node():
    """Creating, changing and deleting the slices of its own node passes."""
    for old, new in ((None, a_slice()), (a_slice(), a_slice()), (a_slice(), None)):
        assert refusals("resourceslices", old, new) == []


@pytest.mark.parametrize(("old", "new", "node"), [
    (None, a_slice("node-2"), "node-1"),
    (None, a_slice(None), "node-1"),
    (a_slice("node-2"), a_slice(), "node-1"),
    (a_slice("node-2"), None, "node-1"),
    (None, a_slice(driver="gpu.nvidia.com"), "node-1"),
    (None, a_slice(), None),
], ids=["another node", "all nodes", "taken over", "deleted elsewhere", "another driver", "token without node"])  # fmt: skip
def test_a_plugin_publishes_nothing_else(old: Json | None, new: Json | None, node: str | None):
    """Slices of other nodes, of all nodes or of other drivers, and tokens that are bound to no node, are refused."""
    assert refusals("resourceslices", old, new, PLUGIN, node) != []


def test_others_are_none_of_the_policys_business():
    """Kubelets, which wipe slices, and everybody else are not asked."""
    assert refusals("resourceslices", a_slice("node-2"), None, "system:node:node-2", None) == []
    assert refusals("pods", an_object(), an_object(spec={"image": "x"}), "system:serviceaccount:default:x") == []


OURS = {names.DOMAIN_LABEL: "uid", names.CLIQUE_LABEL: "clique"}


@pytest.mark.parametrize("user", [PLUGIN, CONTROLLER])
def test_our_labels_on_nodes(user: str):
    """Our two labels come and go, beside those of others or without any."""
    for others in ({}, {"labels": {"a": "b"}}):
        bare = an_object(**others)
        labelled = an_object(**{**others, "labels": {**others.get("labels", {}), **OURS}})
        assert refusals("nodes", bare, labelled, user) == []
        assert refusals("nodes", labelled, bare, user) == []


def test_the_controller_is_on_no_node_of_its_own():
    """It takes labels off any node, as a plugin may not."""
    labelled, bare = an_object("node-2", labels=OURS), an_object("node-2")

    assert refusals("nodes", labelled, bare, CONTROLLER) == []
    assert refusals("nodes", labelled, bare, PLUGIN) == ["a plugin may change its own node only"]
    assert refusals("nodes", labelled, bare, PLUGIN, None) == ["a plugin may change its own node only"]


@pytest.mark.parametrize("user", [PLUGIN, CONTROLLER])
@pytest.mark.parametrize("change", [
    {"labels": {"a": "c"}}, {"labels": {}}, {"labels": {"a": "b", "new": "x"}}, {"annotations": {"x": "y"}},
    {"finalizers": ["x"]}, {"ownerReferences": [{"name": "x"}]}, {"spec": {"unschedulable": True}},
], ids=str)  # fmt: skip
def test_nothing_else_of_a_node(user: str, change: Json):
    """Foreign labels, annotations, finalizers, owners, taints: nobody of ours may touch them."""
    before = {"labels": {"a": "b"}}

    assert refusals("nodes", an_object(**before), an_object(**{**before, **change}), user) != []


def test_the_clique_label_only_where_it_is_ours():
    """`nvidia.com/gpu.clique` is GPU Feature Discovery's, unless the chart is told otherwise."""
    labelled = an_object(labels={names.GPU_CLIQUE_LABEL: "c"})
    on = "kubeletPlugin.containers.computeDomains.gpuCliqueLabelEnabled=true"

    assert refusals("nodes", an_object(), labelled, PLUGIN, "node-1") != []
    assert refusals("nodes", an_object(), labelled, PLUGIN, "node-1", on) == []


def test_the_touch_that_wakes():
    """Our one annotation on pods of the own node, with and without others there, set and set again."""
    bare, busy = an_object("p"), an_object("p", annotations={"a": "b"})
    touched = an_object("p", annotations={names.NOTE_ANNOTATION: "1"})
    both = an_object("p", annotations={"a": "b", names.NOTE_ANNOTATION: "2"})

    assert [
        refusals("pods", old, new) for old, new in ((bare, touched), (busy, both), (touched, touched), (both, busy))
    ] == [[]] * 4


@pytest.mark.parametrize("change", [
    {"labels": {"x": "y"}}, {"finalizers": ["x"]}, {"ownerReferences": [{"name": "x"}]}, {"annotations": {"a": "c"}},
    {"annotations": {}}, {"annotations": {"a": "b", "x": "y"}}, {"spec": {"nodeName": "node-1", "image": "evil"}},
], ids=str)  # fmt: skip
def test_nothing_else_of_a_pod(change: Json):
    """A new image, a label, a finalizer, an owner, a foreign annotation new, changed or gone: refused."""
    before = {"annotations": {"a": "b"}}

    assert refusals("pods", an_object("p", **before), an_object("p", **{**before, **change})) != []


@pytest.mark.parametrize(
    ("spec", "node"), [({"nodeName": "node-2"}, "node-1"), ({"x": 1}, "node-1"), ({"nodeName": "node-1"}, None)]
)
def test_no_pod_of_another_node(spec: Json, node: str | None):
    """Pods of other nodes, pods of no node yet, and tokens bound to no node: refused."""
    new = an_object("p", spec, annotations={names.NOTE_ANNOTATION: "1"})

    assert refusals("pods", an_object("p", spec), new, PLUGIN, node) != []


def test_the_policies_name_the_real_accounts():
    """The user in each policy is the account that the pods really have (#1317: it was not)."""
    text = rendered("serviceAccount.name=mine", "namespaceOverride=there")
    account = one(text, "DaemonSet")["spec"]["template"]["spec"]["serviceAccountName"]

    assert account == "mine-kubeletplugin"
    for policy in ("resourceslices", "nodes", "pods"):
        said = one(text, "ValidatingAdmissionPolicy", f"-{policy}")["spec"]["matchConditions"][0]["expression"]
        assert f"'system:serviceaccount:there:{account}'" in said
        binding = one(text, "ValidatingAdmissionPolicyBinding", f"-{policy}")["spec"]
        assert (binding["policyName"][-len(policy) :], binding["validationActions"]) == (policy, ["Deny"])
