"""The pure parts of scheduling and of the controllers."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvdra.sim.kube.affinity import Neighbours, rules_of
from nvdra.sim.kube.allocator import CannotAllocate, allocate, allocation_of, needs_of
from nvdra.sim.kube.controllers.claims import claim_of
from nvdra.sim.kube.controllers.daemonset import plan, template_of
from nvdra.sim.kube.devices import DeviceSelectors, SelectorError, pools_for
from nvdra.sim.kube.placement import refuses
from nvdra.sim.kube.quantity import pod_requests, quantity
from nvdra.sim.kube.selectors import expression_matches, selector_matches, tolerates
from nvdra.sim.kube.shapes import Json

DRIVER = "d.example.com"


def a_node(name: str = "n", **labels) -> Json:
    return {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": {}}


def a_slice(devices, *, node="n", generation=1, count=1, name="s", **more) -> Json:
    pool = {"name": "pool", "generation": generation, "resourceSliceCount": count}
    listed = [{"name": d, "attributes": {"index": {"int": i}, "type": {"string": "x"}}} for i, d in enumerate(devices)]
    return {
        "metadata": {"name": name},
        "spec": {"driver": DRIVER, "nodeName": node, "pool": pool, "devices": listed, **more},
    }


def a_claim(*requests, name="c") -> Json:
    return {"metadata": {"name": name}, "spec": {"devices": {"requests": list(requests)}}}


def a_request(name="r", cel="true", **exactly) -> Json:
    return {"name": name, "exactly": {"deviceClassName": "any", "selectors": [{"cel": {"expression": cel}}], **exactly}}


CLASSES = {
    "any": {
        "metadata": {"name": "any"},
        "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}]},
    }
}


def _allocate(claim, slices, taken=()):
    pools = pools_for(a_node(), slices, slices)
    held = frozenset((DRIVER, "pool", device) for device in taken)
    return [pick.candidate.id[2] for pick in allocate(needs_of(claim, CLASSES), pools, held, DeviceSelectors())]


def test_first_fit_takes_devices_in_order():
    """ExactCount takes the first free ones that its selectors allow; two requests never share a device."""
    slices = [a_slice(["a", "b", "c"])]
    assert _allocate(a_claim(a_request(count=2)), slices) == ["a", "b"]
    assert _allocate(a_claim(a_request(count=2)), slices, taken=["a"]) == ["b", "c"]
    picky = a_request("p", f'device.attributes["{DRIVER}"].index == 0')
    assert _allocate(a_claim(a_request(), picky), slices) == ["b", "a"]
    with pytest.raises(CannotAllocate, match="cannot allocate all claims"):
        _allocate(a_claim(a_request(count=3)), slices, taken=["c"])


def test_all_takes_all_or_nothing():
    """All needs every matching device free, at least one, and complete pools."""
    claim = a_claim(a_request(allocationMode="All"))
    assert _allocate(claim, [a_slice(["a", "b"])]) == ["a", "b"]
    with pytest.raises(CannotAllocate):
        _allocate(claim, [a_slice(["a", "b"])], taken=["b"])
    with pytest.raises(CannotAllocate, match="being updated"):
        _allocate(claim, [a_slice(["a"], count=2)])
    with pytest.raises(CannotAllocate):
        _allocate(a_claim(a_request(cel="false", allocationMode="All")), [a_slice(["a"])])


def test_only_the_newest_generation_of_a_pool_counts():
    """An older generation's slice is not looked at; a pool with too few slices offers nothing."""
    slices = [a_slice(["old"], generation=1, name="s1"), a_slice(["new"], generation=2, name="s2")]
    assert _allocate(a_claim(a_request()), slices) == ["new"]
    assert pools_for(a_node("other"), slices, slices) == []
    twice = [a_slice(["a"], count=2, name="s1"), a_slice(["a"], count=2, name="s2")]
    with pytest.raises(CannotAllocate, match="a device name occurs twice"):
        _allocate(a_claim(a_request(allocationMode="All")), twice)


def test_what_is_not_known_is_refused_by_name():
    """firstAvailable, constraints and unknown classes are said, never half done."""
    with pytest.raises(CannotAllocate, match="firstAvailable"):
        needs_of(a_claim({"name": "r", "firstAvailable": []}), CLASSES)
    with pytest.raises(CannotAllocate, match="constraints"):
        needs_of({"metadata": {"name": "c"}, "spec": {"devices": {"constraints": [{}]}}}, CLASSES)
    with pytest.raises(CannotAllocate, match="device class any does not exist"):
        needs_of(a_claim(a_request()), {})


def test_a_selector_that_fails_ends_the_attempt():
    """Unknown domains are empty maps; a missing attribute is an error; so are a bad expression and a non-boolean."""
    slices = [a_slice(["a"])]
    assert _allocate(a_claim(a_request(cel='!("x" in device.attributes["no.example.com"])')), slices) == ["a"]
    for cel in (f'device.attributes["{DRIVER}"].none == 1', "1 +", "1"):
        with pytest.raises(SelectorError):
            _allocate(a_claim(a_request(cel=cel)), slices)


def test_an_allocation_carries_configs_and_its_node():
    """Class configs first, then the claim's; one for all requests names none; local devices pin the claim to the node."""
    classes = {
        "any": {
            **CLASSES["any"],
            "spec": {**CLASSES["any"]["spec"], "config": [{"opaque": {"driver": DRIVER, "parameters": {"c": 1}}}]},
        }
    }
    claim = a_claim(a_request("r"), a_request("s"))
    claim["spec"]["devices"]["config"] = [{"requests": ["r"], "opaque": {"driver": DRIVER, "parameters": {"k": 1}}}]
    slices = [a_slice(["a", "b"])]
    picks = allocate(needs_of(claim, classes), pools_for(a_node(), slices, slices), frozenset(), DeviceSelectors())
    found = allocation_of(claim, picks, classes, "n")
    assert [(r["request"], r["device"]) for r in found["devices"]["results"]] == [("r", "a"), ("s", "b")]
    assert [(c["source"], c.get("requests")) for c in found["devices"]["config"]] == [
        ("FromClass", None),
        ("FromClaim", ["r"]),
    ]
    assert found["nodeSelector"]["nodeSelectorTerms"][0]["matchFields"][0]["values"] == ["n"]


@given(st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")), st.integers(1, 4))
def test_no_device_is_given_twice(there, taken, count):
    """Whatever is free: the answer is `count` different free devices, or there are not that many."""
    slices = [a_slice(sorted(there))]
    free = there - taken
    try:
        got = _allocate(a_claim(a_request(count=count)), slices, taken)
    except CannotAllocate:
        assert len(free) < count
    else:
        assert len(set(got)) == count == len(got)
        assert set(got) <= free


def _affine(kind, name="p", group="w", **labels):
    term = {"labelSelector": {"matchLabels": {"g": group}}, "topologyKey": "clique"}
    affinity = {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return {
        "metadata": {"name": name, "namespace": "d", "labels": labels},
        "spec": {"affinity": affinity, "containers": []},
    }


def test_pod_affinity_by_clique():
    """The first of a group may go to any node that has the key; the next only where the first is."""
    pod = _affine("podAffinity", g="w")
    known = {"a": {"clique": "1"}, "b": {"clique": "2"}, "c": {}}
    alone = rules_of(pod, Neighbours([], known))
    assert [bool(alone.refuse(known[n])) for n in "abc"] == [False, False, True]
    joined = rules_of(pod, Neighbours([(_affine("podAffinity", g="w"), "b")], known))
    assert [bool(joined.refuse(known[n])) for n in "abc"] == [True, False, True]
    stranger = rules_of(_affine("podAffinity", g="other"), Neighbours([], known))
    assert all(stranger.refuse(known[n]) for n in "abc")


def test_anti_affinity_works_both_ways():
    """A pod keeps off those that it selects, and off those that select it."""
    known = {"a": {"clique": "1"}, "b": {"clique": "2"}}
    mine = rules_of(_affine("podAntiAffinity"), Neighbours([(_affine("x", g="w"), "a")], known))
    assert [bool(mine.refuse(known[n])) for n in "ab"] == [True, False]
    theirs = rules_of(
        {"metadata": {"namespace": "d", "labels": {"g": "w"}}, "spec": {}},
        Neighbours([(_affine("podAntiAffinity"), "b")], known),
    )
    assert [bool(theirs.refuse(known[n])) for n in "ab"] == [False, True]


@pytest.mark.parametrize(
    ("operator", "values", "have", "matches"),
    [
        ("In", ["a"], "a", True),
        ("In", ["a"], None, False),
        ("NotIn", ["a"], None, True),
        ("NotIn", ["a"], "a", False),
        ("Exists", [], "x", True),
        ("DoesNotExist", [], "x", False),
        ("Gt", ["3"], "10", True),
        ("Lt", ["3"], "10", False),
        ("Gt", ["3"], "x", False),
        ("Sounds", ["3"], "3", False),
    ],
)
def test_every_operator(operator, values, have, matches):
    """In, NotIn, Exists, DoesNotExist, Gt and Lt; an unknown one matches nothing."""
    having = {} if have is None else {"k": have}
    assert expression_matches({"key": "k", "operator": operator, "values": values}, having) is matches


def test_empty_and_missing_selectors_differ():
    """None selects nothing, {} everything."""
    assert not selector_matches(None, {})
    assert selector_matches({}, {})


def test_taints_and_tolerations():
    """Keys, effects and values; an unschedulable or tainted node says so."""
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    assert tolerates({"operator": "Exists"}, taint)
    assert tolerates({"key": "k", "value": "v"}, taint)
    assert not tolerates({"key": "k", "value": "w"}, taint)
    assert not tolerates({"key": "k", "operator": "Exists", "effect": "NoExecute"}, taint)
    pod = {"spec": {}}
    assert refuses(pod, a_node()) == ""
    assert refuses(pod, {**a_node(), "spec": {"taints": [taint]}}) == "node(s) had untolerated taint(s) {k: v}"
    assert refuses(pod, {**a_node(), "spec": {"unschedulable": True}}) == "node(s) were unschedulable"
    assert "affinity/selector" in refuses({"spec": {"nodeSelector": {"a": "b"}}}, a_node())


def test_quantities():
    """Suffixes of both kinds; nonsense is refused by name."""
    assert [quantity(t) for t in ("4", "250m", "1Gi", "2k", 3)] == [4, Decimal("0.25"), 1024**3, 2000, 3]
    with pytest.raises(ValueError, match="'lots' is no quantity"):
        quantity("lots")
    pod = {
        "spec": {
            "containers": [
                {"resources": {"limits": {"nvidia.com/gpu": 4}}},
                {"resources": {"requests": {"nvidia.com/gpu": "1"}}},
            ]
        }
    }
    assert pod_requests(pod) == {"nvidia.com/gpu": Decimal(5)}


@given(st.text("abc-", min_size=1, max_size=80), st.text("abc-", min_size=1, max_size=80))
def test_generated_claim_names_stay_short(pod, entry):
    """The base of a claim's name leaves room for the suffix, with both parts in it."""
    body = {"metadata": {"name": pod, "namespace": "d", "uid": "u"}}
    made = claim_of(body, entry, {"spec": {"spec": {}}})
    assert len(made["metadata"]["generateName"]) <= 58


def test_a_daemonset_never_has_two_pods_on_a_node():
    """Surplus, finished and misplaced pods go; a node whose pod is still going gets no second one."""
    daemon_set = {
        "metadata": {"name": "d", "uid": "u"},
        "spec": {
            "template": {"metadata": {}, "spec": {"nodeSelector": {"l": "1"}}},
            "updateStrategy": {"type": "OnDelete"},
        },
    }
    template = template_of(daemon_set)
    nodes = [a_node("a", l="1"), a_node("b", l="1"), a_node("c"), a_node("e", l="1")]

    def pod(name, node, *, phase="Running", going=False):
        meta = {
            "name": name,
            "uid": name,
            "labels": template["metadata"]["labels"],
            **({"deletionTimestamp": "x"} if going else {}),
        }
        return {"metadata": meta, "spec": {"nodeName": node}, "status": {"phase": phase}}

    pods = [pod("1", "a"), pod("2", "a"), pod("3", "b", going=True), pod("4", "c"), pod("5", "gone")]
    todo = plan(daemon_set, template, nodes, pods)
    assert todo.create_on == ("e",)
    assert {p["metadata"]["name"] for p in todo.delete} == {"2", "4", "5"}
    assert {
        p["metadata"]["name"] for p in plan(daemon_set, template, nodes, [pod("1", "a", phase="Failed")]).delete
    } == {"1"}
