from urllib.parse import parse_qs, urlsplit

import pytest

from nvdra import __version__
from nvdra.api.kinds import COMPUTE_DOMAINS, NODES, PODS
from nvdra.errors import Again, AlreadyExists, ApiError, Conflict, Forbidden, Gone, NotFound


def node(name="a", version="1", **meta):
    return {"metadata": {"name": name, "resourceVersion": version, **meta}}


async def collect(events):
    return [event async for event in events]


async def test_a_read_is_typed_signed_and_named(script, client, wire):
    """GET decodes into our class, sends the token, and says who asks."""
    script.gives(wire.reply(200, node(labels={"x": "y"}, unknown="ignored")))
    found = await client.get(NODES, "a")

    asked = script.asked[0]
    assert (found.metadata.name, found.metadata.labels) == ("a", {"x": "y"})
    assert (asked.method, asked.target) == ("GET", "/api/v1/nodes/a")
    assert ("Bearer secret", f"nvdra-test/{__version__}") == (
        asked.headers["Authorization"],
        asked.headers["User-Agent"],
    )


async def test_a_list_is_read_page_by_page(script, client, wire):
    """Pages are joined; the version is the list's."""
    script.gives(
        wire.reply(200, {"metadata": {"resourceVersion": "7", "continue": "next/="}, "items": [node("a")]}),
        wire.reply(200, {"metadata": {"resourceVersion": "7"}, "items": [node("b")]}),
    )
    listing = await client.list(NODES, labels="x=y")

    first, second = (parse_qs(urlsplit(asked.target).query) for asked in script.asked)
    assert ([thing.metadata.name for thing in listing.items], listing.version) == (["a", "b"], "7")
    assert first == {"limit": ["500"], "labelSelector": ["x=y"]}
    assert second == {"limit": ["500"], "labelSelector": ["x=y"], "continue": ["next/="]}


async def test_an_empty_list_may_be_null(script, client, wire):
    """`items: null` is no item."""
    script.gives(wire.reply(200, {"metadata": {"resourceVersion": "7"}, "items": None}))
    assert (await client.list(NODES)).items == ()


async def test_one_odd_object_is_named(script, client, wire):
    """A list with an object that cannot be read says which one, and is not read without it."""
    odd = {"metadata": {"name": "odd", "namespace": "ns", "labels": 3}}
    script.gives(wire.reply(200, {"metadata": {}, "items": [node("a"), odd]}))
    with pytest.raises(
        Again,
        match=r"GET /api/v1/pods at http://127.*: Pod ns/odd: cannot be read: Expected `object`, got `int` - at `\$.metadata.labels`",
    ):
        await client.list(PODS)


async def test_a_watch_reads_lines_however_they_are_cut(script, client, wire):
    """Events are whole even when chunks are not; the first is our own bookmark."""
    lines = wire.chunk({"type": "ADDED", "object": node("a", "8")}, {"type": "BOOKMARK", "object": node("", "9")})
    data = lines.split(b"\r\n")[1]
    cut = b"".join(b"%x\r\n%s\r\n" % (len(data[i : i + 11]), data[i : i + 11]) for i in range(0, len(data), 11))
    script.gives(wire.CHUNKED + cut + wire.END)
    events = await collect(client.watch(NODES, "7", fields="metadata.name=a"))

    query = parse_qs(urlsplit(script.asked[0].target).query)
    seconds = int(query.pop("timeoutSeconds")[0])
    assert [(event.type, event.object.metadata.resourceVersion) for event in events] == [
        ("BOOKMARK", "7"),
        ("ADDED", "8"),
        ("BOOKMARK", "9"),
    ]
    assert query == {
        "watch": ["true"],
        "allowWatchBookmarks": ["true"],
        "resourceVersion": ["7"],
        "fieldSelector": ["metadata.name=a"],
    }
    assert 300 <= seconds <= 600


@pytest.mark.parametrize(
    ("sent", "error", "words"),
    [
        ({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}, Gone, "410 Gone: too old"),
        ({"type": "ERROR", "object": {"code": 500, "message": "etcd"}}, ApiError, "500 .*: etcd"),
        ({"type": "SURPRISE", "object": {}}, Again, "unknown type 'SURPRISE'"),
        (["garbage"], Again, "a line of the watch cannot be read"),
    ],
)
async def test_errors_in_a_watch(script, client, wire, sent, error, words):
    """An ERROR event has the class of its code; nonsense is named."""
    script.gives(wire.CHUNKED + wire.chunk(sent) + wire.END)
    with pytest.raises(error, match=words):
        await collect(client.watch(NODES, "7"))


async def test_a_watch_that_is_refused(script, client, wire):
    """A status instead of a stream is its error: 410 may come that way too."""
    script.gives(
        wire.reply(410, wire.failure(410, "Expired")),
        wire.reply(403, wire.failure(403, "Forbidden", "cannot watch nodes")),
    )
    with pytest.raises(Gone):
        await collect(client.watch(NODES, "7"))
    with pytest.raises(
        ApiError, match=r"403 Forbidden: cannot watch nodes \(a ClusterRole or Role of ours must allow watch on nodes:"
    ):
        await collect(client.watch(NODES, "7"))


async def test_a_watch_that_breaks_off(script, client, wire):
    """A truncated stream, also one that ends within a line, is no end of the watch."""
    script.gives(wire.CHUNKED + b'9\r\n{"type":"\r\n' + wire.END)
    with pytest.raises(Again, match="in the middle of a line"):
        await collect(client.watch(NODES, "7"))


async def test_a_silent_watch_ends(script, client_of, wire):
    """Nothing at all for the idle time is an error, so that a dead server is noticed."""
    script.gives(wire.CHUNKED)
    with pytest.raises(Again, match=r"silent for 0\.05 s"):
        await collect(client_of(script.port, idle=0.05).watch(NODES, "7"))


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (410, "Expired", Gone),
        (403, "Forbidden", Forbidden),
        (500, "", ApiError),
        (302, "", ApiError),
    ],
)
async def test_statuses_are_errors(script, client, wire, status, reason, error):
    """Each status has its class, its code, and a text with verb, path, server and cause."""
    script.gives(wire.reply(status, wire.failure(status, reason, "because")))
    with pytest.raises(error, match=rf"GET /api/v1/nodes/a at http://127.0.0.1:\d+: {status} .*: because") as caught:
        await client.get(NODES, "a")
    assert (error, status, reason) == (type(caught.value), caught.value.code, caught.value.reason)


async def test_create(script, client, wire):
    """A manifest gets its kind; a taken name is AlreadyExists; any other 409 is Conflict."""
    script.gives(
        wire.reply(201, node("a")),
        wire.reply(409, wire.failure(409, "AlreadyExists")),
        wire.reply(409, wire.failure(409, "Conflict")),
    )
    await client.create(COMPUTE_DOMAINS, {"metadata": {"name": "a"}}, "ns")
    with pytest.raises(AlreadyExists):
        await client.create(COMPUTE_DOMAINS, {"metadata": {"name": "a", "namespace": "ns"}})
    with pytest.raises(Conflict):
        await client.create(COMPUTE_DOMAINS, {"metadata": {"name": "a"}}, "ns")

    assert {"/apis/resource.nvidia.com/v1beta1/namespaces/ns/computedomains?fieldManager=nvdra"} == {
        a.target for a in script.asked
    }
    assert script.asked[0].json == {
        "apiVersion": "resource.nvidia.com/v1beta1",
        "kind": "ComputeDomain",
        "metadata": {"name": "a"},
    }


@pytest.mark.parametrize(
    ("how", "patch", "content", "query"),
    [
        ("merge", {"a": 1}, "application/merge-patch+json", "fieldManager=nvdra"),
        ("json", [{"op": "remove", "path": "/a"}], "application/json-patch+json", "fieldManager=nvdra"),
        (
            "apply",
            {"apiVersion": "v1", "kind": "Node"},
            "application/apply-patch+yaml",
            "fieldManager=nvdra&force=true",
        ),
    ],
)
async def test_patches(script, client, wire, how, patch, content, query):
    """Each kind of patch has its content type; apply is forced; subresources have their path."""
    script.gives(wire.reply(200, node()))
    await client.patch(NODES, "a", patch, how=how, subresource="status")

    asked = script.asked[0]
    assert ("PATCH", f"/api/v1/nodes/a/status?{query}", content, patch) == (
        asked.method,
        asked.target,
        asked.headers["Content-Type"],
        asked.json,
    )


@pytest.mark.parametrize(
    ("steps", "message", "causes", "error"),
    [
        (["test"], "testing value /metadata/labels/x failed: test failed", None, Conflict),
        (["test", "replace"], "the server rejected our request due to an error in our request", None, Conflict),
        (["remove"], "the server rejected our request due to an error in our request", None, ApiError),
        (["test"], 'Node "a" is invalid: spec: Forbidden', [{"reason": "FieldValueForbidden"}], ApiError),
    ],
)
async def test_a_failed_test_of_a_json_patch_is_a_conflict(script, client, wire, steps, message, causes, error):
    """kube-apiserver says 422 and nothing more for a failed test; a 422 of validation is something else."""
    script.gives(wire.reply(422, wire.failure(422, "Invalid", message, **({"causes": causes} if causes else {}))))
    with pytest.raises(error) as caught:
        await client.patch(NODES, "a", [{"op": step, "path": "/x"} for step in steps], how="json")
    assert (error, 422) == (type(caught.value), caught.value.code)


async def test_delete(script, client, wire):
    """Preconditions are sent; already gone is success; another uid is a Conflict."""
    script.gives(
        wire.reply(200, {}), wire.reply(404, wire.failure(404)), wire.reply(409, wire.failure(409, "Conflict"))
    )
    await client.delete(PODS, "a", "ns", uid="u", version="3")
    await client.delete(PODS, "a", "ns")
    with pytest.raises(Conflict):
        await client.delete(PODS, "a", "ns", uid="u")
    assert script.asked[0].json["preconditions"] == {"uid": "u", "resourceVersion": "3"}
    assert "preconditions" not in script.asked[1].json


async def test_what_would_hit_a_whole_collection_is_refused(client):
    """Without a name, DELETE would empty the collection: it is never sent."""
    with pytest.raises(ValueError, match="a name is needed"):
        await client.delete(PODS, "", "ns")
    with pytest.raises(ValueError, match="a namespace is needed"):
        await client.get(PODS, "a")
