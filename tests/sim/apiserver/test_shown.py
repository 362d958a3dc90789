"""What people and odd clients see: cells, printer columns, defaults, protobuf."""

import base64

import pytest

from nvdra.sim.apiserver import cells, columns, jsonpath, protobuf, schema
from nvdra.sim.apiserver.status import StatusError

NOW = 1_800_000_000.0


def shown(world, path, obj):
    """Cells by column name."""
    found = columns.of(world.ref(path).resource)
    return {column.name: column.value(obj, NOW) for column in found}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (150, "2m30s"), (900, "15m"), (11000, "3h3m"), (50000, "13h"), (172800, "2d"),
     (180000, "2d2h"), (86400 * 20, "20d"), (86400 * 800, "2y70d")],
)  # fmt: skip
def test_durations(seconds, text):
    """In two units at most."""
    assert cells.duration(seconds) == text


@pytest.mark.parametrize(
    ("path", "obj", "wanted"),
    [
        (
            "nodes",
            {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
            {"Status": "NotReady", "Roles": "<none>"},
        ),
        (
            "nodes",
            {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}, "spec": {"unschedulable": True}},
            {"Status": "Unknown,SchedulingDisabled", "Roles": "control-plane"},
        ),
        (
            "pods",
            {
                "spec": {"containers": [{}, {}], "nodeName": "n"},
                "status": {
                    "phase": "Running",
                    "containerStatuses": [
                        {"ready": True, "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
                    ],
                },
            },
            {"Ready": "1/2", "Status": "CrashLoopBackOff", "Restarts": "2", "Node": "n"},
        ),
        ("pods", {"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}}, {"Status": "Terminating"}),
        (
            "batch/jobs",
            {"spec": {"completions": 2}, "status": {"succeeded": 1}},
            {"Status": "Running", "Completions": "1/2", "Duration": ""},
        ),
        (
            "batch/jobs",
            {"status": {"startTime": "2027-01-15T07:59:00Z", "conditions": [{"type": "Failed", "status": "True"}]}},
            {"Status": "Failed", "Duration": "60s"},
        ),
        (
            "events",
            {"lastTimestamp": "2027-01-15T07:59:00Z", "involvedObject": {"kind": "Pod", "name": "p"}},
            {"Last Seen": "60s", "Object": "pod/p"},
        ),
        (
            "resource.k8s.io/resourceclaims",
            {"status": {"allocation": {"a": 1}, "reservedFor": [1]}},
            {"State": "allocated,reserved"},
        ),
        ("resource.k8s.io/resourceclaims", {"metadata": {"deletionTimestamp": "x"}}, {"State": "deleted,pending"}),
        (
            "apps/daemonsets",
            {"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}},
            {"Node Selector": "a=b", "Ready": 0},
        ),
        (
            "networking.k8s.io/networkpolicies",
            {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}},
            {"Pod-Selector": "a=b"},
        ),
        ("apps/deployments", {"spec": {"replicas": 2}, "status": {"readyReplicas": 1}}, {"Ready": "1/2"}),
    ],
)
def test_cells(world, path, obj, wanted):
    """The columns that users know."""
    full = {"metadata": {"name": "o", **obj.get("metadata", {})}, **{k: v for k, v in obj.items() if k != "metadata"}}
    found = shown(world, path, full)
    assert {name: found[name] for name in wanted} == wanted


def test_our_printer_columns_tell_the_story(ours):
    """Status, nodes, IMEX domains and the Ready condition's message."""
    ready = [{"type": "Other", "message": "x"}, {"type": "Ready", "message": "waiting for b"}]
    status = {"status": "NotReady", "nodesReady": "1/2", "imexDomainCount": 1, "conditions": ready}
    obj = {"metadata": {"name": "cd", "creationTimestamp": "2027-01-15T07:59:00Z"}, "status": status}
    assert list(shown(ours, "resource.nvidia.com/computedomains", obj).values()) == [
        "cd",
        "NotReady",
        "1/2",
        1,
        "waiting for b",
        "60s",
    ]
    roster = {**obj, "status": "Ready", "formed": True, "message": "m"}
    assert list(shown(ours, "resource.nvidia.com/computedomaincliques", roster).values()) == [
        "cd",
        "Ready",
        True,
        "m",
        "60s",
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [(".a.b", 1), ("a.b", 1), ("{.a.b}", 1), (".l[1]", 2), (".l[-1]", 2), (".l[*]", 1), (".m['x.y']", 3), (".m.x\\.y", 3), (".a[0]", None), (".none", None)],
)  # fmt: skip
def test_json_paths(path, value):
    """Names, indices, quotes."""
    assert jsonpath.find(jsonpath.parse(path), {"a": {"b": 1}, "l": [1, 2], "m": {"x.y": 3}}) == value


def test_a_json_path_that_is_none():
    """The error says what is known."""
    with pytest.raises(ValueError, match="cannot read"):
        jsonpath.parse(".a[?(@.b>1)]")


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, [2, 2.0], [1, True, "1", 1.5]),
        ({"type": "number", "maximum": 1, "multipleOf": 0.5}, [0.5, 1], [1.5, 0.3]),
        ({"type": "integer", "format": "int32"}, [2**31 - 1], [2**31]),
        ({"type": "string", "minLength": 1, "format": "date-time"}, ["2027-01-15T07:59:00Z"], ["", "today"]),
        ({"type": "boolean"}, [True], [1, None]),
        ({"type": "string", "nullable": True}, [None, ""], [0]),
        (
            {"type": "array", "maxItems": 2, "minItems": 1, "uniqueItems": True, "items": {"type": "string"}},
            [["a"]],
            [[], ["a", "a"], ["a", "b", "c"], [1]],
        ),
        ({"type": "array", "x-kubernetes-list-type": "set"}, [["a", "b"]], [["a", "a"]]),
        (
            {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"type": "string"}},
            [{"a": "b"}],
            [{}, {"a": 1}, {"a": "", "b": ""}],
        ),
        ({"x-kubernetes-int-or-string": True}, [1, "1"], [True, 1.5]),
        ({"anyOf": [{"type": "string"}, {"enum": [1]}]}, ["a", 1], [2]),
        ({"oneOf": [{"minimum": 1}, {"maximum": 2}]}, [0, 3], [1]),
        ({"allOf": [{"minimum": 1}], "not": {"enum": [3]}}, [2], [0, 3]),
    ],
)
def test_schemas(rule, good, bad):
    """Each keyword lets through what it should, and only that."""
    assert [list(schema.flaws(rule, value, "x")) for value in good] == [[] for _ in good]
    assert all(list(schema.flaws(rule, value, "x")) for value in bad)


@pytest.mark.parametrize(
    ("spec", "types"), [({"ingress": [{}]}, ["Ingress"]), ({}, ["Ingress"]), ({"egress": [{}]}, ["Ingress", "Egress"])]
)
def test_defaults_of_a_network_policy(world, spec, types):
    """Its types follow from its rules, ports are TCP."""
    rule = {"ports": [{"port": 1}]}
    given = {"podSelector": {}, **{way: [rule] for way in spec}}
    made = world.create("networking.k8s.io/networkpolicies", "p", spec=given)["spec"]
    assert made["policyTypes"] == types
    assert [made[way] for way in spec] == [[{"ports": [{"port": 1, "protocol": "TCP"}]}] for _ in spec]


def test_defaults_that_clients_see(world):
    """Pod templates, DaemonSets, Jobs, Services are filled in as the real server does."""
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {
            "containers": [
                {"name": "c", "image": "i", "livenessProbe": {"httpGet": {"port": 1}}, "ports": [{"containerPort": 1}]}
            ]
        },
    }
    made = world.create("apps/daemonsets", "d", spec={"selector": {"matchLabels": {"a": "b"}}, "template": template})[
        "spec"
    ]
    found = made["template"]["spec"]["containers"][0]
    assert (made["updateStrategy"]["type"], found["imagePullPolicy"], found["ports"]) == (
        "RollingUpdate",
        "Always",
        [{"containerPort": 1, "protocol": "TCP"}],
    )
    assert found["livenessProbe"]["periodSeconds"] == 10
    job = world.create("batch/jobs", "j", spec={"template": {"spec": {"containers": [{"name": "c"}]}}})["spec"]
    assert job["selector"]["matchLabels"].items() <= job["template"]["metadata"]["labels"].items()
    assert job["template"]["metadata"]["labels"]["job-name"] == "j"
    service = world.create("services", "s", spec={"ports": [{"port": 80}]})["spec"]
    assert (service["type"], service["ports"][0]["targetPort"]) == ("ClusterIP", 80)


def test_rules_of_workloads(world, refused):
    """A selector that does not fit, a changed one, a claim that is not declared, a Job's template."""
    spec = {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "c"}}, "spec": {"containers": [{"name": "c"}]}},
    }
    with refused(422):
        world.create("apps/daemonsets", "d", spec=spec)
    spec["template"]["metadata"]["labels"]["a"] = "b"
    world.create("apps/daemonsets", "d", spec=spec)
    with refused(422):
        world.patch("apps/daemonsets", "d", {"spec": {"selector": {"matchLabels": {"a": "z"}}}})
    with refused(422):
        world.create("pods", "p", spec={"containers": [{"name": "c", "resources": {"claims": [{"name": "none"}]}}]})
    with refused(422):
        world.create("pods", "p", spec={"containers": [{"name": "c"}], "resourceClaims": [{"name": "x"}]})
    world.create("batch/jobs", "j", spec={"template": {"spec": {"containers": [{"name": "c"}]}}})
    with refused(422):
        world.patch("batch/jobs", "j", {"spec": {"template": {"spec": {"restartPolicy": "Never"}}}})
    world.create("configmaps", "m", data={"a": "b"}, immutable=True)
    with refused(422):
        world.patch("configmaps", "m", {"data": {"a": "c"}})


def field(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


def test_protobuf_of_a_secret():
    """As `kubectl create secret` sends it; other kinds are refused with a way out."""
    about = field(1, b"v1") + field(2, b"Secret")
    meta = field(1, b"s") + field(11, field(1, b"k") + field(2, b"v"))
    raw = field(1, meta) + field(2, field(1, b"a") + field(2, b"\x00b")) + b"\x28\x01"
    envelope = b"k8s\x00" + field(1, about) + field(2, raw)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"k": "v"}}}
    assert protobuf.decoded(envelope) == {
        **secret,
        "data": {"a": base64.b64encode(b"\x00b").decode()},
        "immutable": True,
    }
    for broken, code in (
        (b"nonsense", 400),
        (envelope.replace(b"Secret", b"Gadget"), 415),
        (envelope[:-3], 400),
    ):
        with pytest.raises(StatusError) as found:
            protobuf.decoded(broken)
        assert found.value.code == code
