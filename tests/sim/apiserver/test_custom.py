"""Custom resources: schemas, defaults, rules; and the project's own CRDs as examples."""

import copy

import pytest

from nvdra.sim.apiserver.requests import Writing

DOMAINS = "resource.nvidia.com/computedomains"
ROSTERS = "resource.nvidia.com/computedomaincliques"


def test_defaults_and_pruning(ours, domain):
    """NumNodes and allocationMode are filled in; what the schema does not know goes, or is refused when asked."""
    told = []
    body = domain(other=1)
    made = ours.store.create(ours.ref(DOMAINS), body, Writing(validation="Warn", warn=told.append)).object
    assert made["spec"] == {
        "numNodes": 0,
        "channel": {"resourceClaimTemplate": {"name": "t"}, "allocationMode": "Single"},
    }
    assert told == ['unknown field "spec.other"']


def test_strict_refuses_unknown_fields(ours, domain, refused):
    """With the path of each."""
    with refused(400) as found:
        ours.store.create(ours.ref(DOMAINS), domain(other=1), Writing(validation="Strict"))
    assert 'strict decoding error: unknown field "spec.other"' in found.error.message


def test_the_spec_is_immutable(ours, domain, refused):
    """A changed spec is refused with the sentence that the Go driver has; labels and status may change."""
    ours.store.create(ours.ref(DOMAINS), domain(numNodes=1))
    with refused(422) as found:
        ours.patch(DOMAINS, "cd", {"spec": {"numNodes": 2}})
    assert "A computeDomain.spec is immutable" in found.error.message
    ours.patch(DOMAINS, "cd", {"metadata": {"labels": {"a": "b"}}})
    ours.patch(f"{DOMAINS}:status", "cd", {"status": {"status": "Ready"}})
    assert ours.get(DOMAINS, "cd")["metadata"]["generation"] == 1


def channel(name="t", mode="All"):
    return {"channel": {"resourceClaimTemplate": {"name": name}, "allocationMode": mode}}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "spec.channel: Required value"),
        ({"channel": {}}, "spec.channel.resourceClaimTemplate: Required value"),
        ({**channel(), "numNodes": -1}, "spec.numNodes in body should be greater than or equal to 0"),
        ({**channel(), "numNodes": "1"}, 'must be of type integer: "string"'),
        (channel(""), "should be at least 1 chars long"),
        (channel("No_Name"), "must be a DNS-1123 subdomain"),
        (channel("a..b"), "must be a DNS-1123 subdomain"),
        (channel("a\n"), "must be a DNS-1123 subdomain"),
        (channel("a" * 254), "may not be more than 253"),
        (channel(mode="Several"), 'supported values: "All", "Single"'),
    ],
)
def test_bad_specs_are_named(ours, refused, spec, words):
    """Each fault has its field and a sentence."""
    with refused(422, "Invalid") as found:
        ours.store.create(ours.ref(DOMAINS), {"metadata": {"name": "cd"}, "spec": spec})
    assert words in found.error.message


@pytest.mark.parametrize(
    "status",
    [
        {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Ready", "status": "True"}]},
        {"conditions": [{"type": "Ready", "status": "Perhaps"}]},
        {"status": "Nearly"},
    ],
)
def test_bad_status_is_refused(ours, domain, refused, status):
    """Doubles in maps and words that are none."""
    ours.store.create(ours.ref(DOMAINS), domain())
    with refused(422, "Invalid"):
        ours.patch(f"{DOMAINS}:status", "cd", {"status": status})


def test_a_roster_has_no_status_subresource(ours):
    """Status is a field like the others, and every change counts as a generation."""
    made = ours.create(ROSTERS, "uid.clique", status="NotReady", daemons=[{"nodeName": "n", "index": 0}])
    assert made["status"] == "NotReady"
    changed = ours.patch(ROSTERS, "uid.clique", {"status": "Ready"})
    assert (changed["status"], changed["metadata"]["generation"]) == ("Ready", 2)


def widgets(**schema):
    names = {"plural": "widgets", "kind": "Widget"}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", **schema}},
    }
    return {
        "metadata": {"name": "widgets.x.io"},
        "spec": {"group": "x.io", "scope": "Cluster", "names": names, "versions": [version]},
    }


def define(world, body):
    return world.store.create(world.ref("apiextensions.k8s.io/customresourcedefinitions"), body)


def test_a_definition_is_served_at_once(world):
    """It is established, named in full, and objects can be made."""
    made = define(
        world, widgets(properties={"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}})
    ).object
    assert {c["type"]: c["status"] for c in made["status"]["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    assert made["status"]["acceptedNames"]["listKind"] == "WidgetList"
    assert world.store.create(
        world.store.ref("x.io", "v1", "widgets"), {"metadata": {"name": "w"}, "spec": {"any": 1}}
    ).object["spec"] == {"any": 1}


@pytest.mark.parametrize("break_", ["name", "scope", "schema", "storage", "rule", "column"])
def test_bad_definitions_are_refused(world, refused, break_):
    """Names that do not fit, no schema, no storage version, a rule that is not CEL."""
    body = copy.deepcopy(widgets())
    version = body["spec"]["versions"][0]
    match break_:
        case "name":
            body["metadata"]["name"] = "other"
        case "scope":
            body["spec"]["scope"] = "Galaxy"
        case "schema":
            del version["schema"]
        case "storage":
            version["storage"] = False
        case "column":
            version["additionalPrinterColumns"] = [{"name": "X", "type": "string", "jsonPath": ".a[?(@.b>1)]"}]
        case "rule":
            version["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = [{"rule": "self ==="}]
    with refused(422, "Invalid"):
        define(world, body)


def test_rules_with_message_expressions_and_without_old_values(world, refused):
    """A rule of change does not apply to what is new; a message can be computed."""
    spec = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "x-kubernetes-validations": [
            {
                "rule": "self.n >= oldSelf.n",
                "messageExpression": "'n was ' + string(oldSelf.n)",
                "reason": "FieldValueForbidden",
            },
            {"rule": "self.n < 10"},
        ],
    }
    define(world, widgets(properties={"spec": spec}))
    ref = world.store.ref("x.io", "v1", "widgets", name="w")
    world.store.create(ref, {"metadata": {"name": "w"}, "spec": {"n": 5}})
    with refused(422) as found:
        world.store.patch(ref, "merge", {"spec": {"n": 4}})
    assert "spec: Forbidden: n was 5" in found.error.message
    with refused(422) as found:
        world.store.patch(ref, "merge", {"spec": {"n": 10}})
    assert "failed rule: self.n < 10" in found.error.message
