"""The server over HTTP: paths, negotiation, streams, what it refuses, and what it counts."""

import asyncio
import json

import aiohttp
import pytest

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
async def http(api):
    """Gives status and JSON of a request."""
    async with aiohttp.ClientSession(api.url, headers={"User-Agent": "tester/1.0 (x)"}) as session:

        async def call(method, path, body=None, *, headers=None, **query):
            data = json.dumps(body) if body is not None else None
            kind = {"Content-Type": "application/json", **(headers or {})}
            async with session.request(method, path, data=data, params=query, headers=kind) as response:
                text = await response.text()
                return response.status, json.loads(text) if text.startswith("{") else text

        call.session = session
        yield call


async def a_map(http, name="a", **data):
    return (await http("POST", MAPS, {"metadata": {"name": name}, "data": data}))[1]


async def test_the_verbs(http):
    """Create, get, list, put, patch, delete, with their codes and bodies."""
    code, made = await http("POST", MAPS, {"metadata": {"name": "a"}})
    assert (code, made["kind"], made["apiVersion"]) == (201, "ConfigMap", "v1")
    assert (await http("PUT", f"{MAPS}/a", {**made, "data": {"k": "1"}}))[1]["data"] == {"k": "1"}
    assert (await http("PATCH", f"{MAPS}/a", {"data": {"k": "2"}}, headers=MERGE))[0] == 200
    code, listed = await http("GET", MAPS)
    assert (listed["kind"], [item["data"] for item in listed["items"]]) == ("ConfigMapList", [{"k": "2"}])
    code, gone = await http("DELETE", f"{MAPS}/a")
    assert (code, gone["status"], gone["details"]["uid"]) == (200, "Success", made["metadata"]["uid"])
    code, answer = await http("GET", f"{MAPS}/a")
    assert (code, answer["reason"], answer["details"]) == (404, "NotFound", {"name": "a", "kind": "configmaps"})


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/apis/nothing.io/v1/things", 404),
        ("GET", "/nowhere", 404),
        ("POST", f"{MAPS}/a", 405),
        ("POST", "/api/v1/configmaps", 400),
        ("GET", f"{PODS}/p/attach", 501),
        ("GET", f"{PODS}/p/portforward", 501),
        ("GET", "/apis/apps/v1/namespaces/default/deployments/d/scale", 501),
        ("GET", "/api/v1/watch/pods", 501),
        ("GET", "/openapi/v2", 501),
        ("DELETE", "/api/v1/configmaps", 400),
        ("OPTIONS", MAPS, 405),
    ],
)
async def test_what_it_does_not_do_it_refuses_with_a_status(http, method, path, code):
    """A Status object that says so, never an empty answer."""
    found, body = await http(method, path)
    assert (found, body["kind"], body["code"]) == (code, "Status", code)
    assert body["message"]


async def test_bodies_that_are_none(http):
    """Broken JSON, a list, the wrong media type."""
    assert (await http("POST", MAPS, []))[0] == 400
    async with http.session.post(MAPS, data="{nonsense") as response:
        assert response.status == 400
    assert (await http("PATCH", f"{MAPS}/a", {}, headers={"Content-Type": "text/plain"}))[0] == 415


async def lines(http, path, count, **query):
    """The first events of a watch."""
    found = []
    params = {"watch": "true", **query}
    async with asyncio.timeout(5), http.session.get(path, params=params) as response:
        async for line in response.content:
            found.append(json.loads(line))
            if len(found) == count:
                break
    return found


async def test_a_watch_over_http(http):
    """Events as lines, each a whole object."""
    made = await a_map(http)
    task = asyncio.create_task(lines(http, MAPS, 2, resourceVersion=made["metadata"]["resourceVersion"]))
    await a_map(http, "b")
    await http("DELETE", f"{MAPS}/a")
    events = await task
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [
        ("ADDED", "b"),
        ("DELETED", "a"),
    ]


async def test_a_streaming_list(http):
    """sendInitialEvents: what there is, then a bookmark that says that this was all."""
    await a_map(http)
    events = await lines(
        http, MAPS, 2, sendInitialEvents="true", resourceVersionMatch="NotOlderThan", allowWatchBookmarks="true"
    )
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_bookmarks_and_the_end_of_a_watch(api, http):
    """Idle watches get bookmarks; timeoutSeconds ends them."""
    api.bookmark_seconds = 0.05
    version = str(api.store.version)
    events = await lines(http, MAPS, 10**6, allowWatchBookmarks="true", timeoutSeconds="1", resourceVersion=version)
    assert {(event["type"], event["object"]["metadata"]["resourceVersion"]) for event in events} == {
        ("BOOKMARK", version)
    }


async def test_a_version_that_is_forgotten_is_an_error_event(api, http):
    """410 comes as the first line of the watch."""
    api.store.history = 1
    for name in "abc":
        await a_map(http, name)
    (event,) = await lines(http, MAPS, 1, resourceVersion="1")
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_stopping_ends_watches(api, http):
    """A client that watches sees the end of the stream."""
    async with http.session.get(MAPS, params={"watch": "true"}) as response:
        await api.stop()
        assert await response.content.read() == b""


async def test_discovery(http):
    """Legacy and aggregated discovery name the same resources; OpenAPI says that field validation is understood."""
    _, groups = await http("GET", "/apis")
    assert {"apps", "resource.k8s.io"} <= {group["name"] for group in groups["groups"]}
    _, legacy = await http("GET", "/apis/resource.k8s.io/v1beta1")
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    _, aggregated = await http("GET", "/apis", headers={"Accept": accept})
    found = next(g for g in aggregated["items"] if g["metadata"]["name"] == "resource.k8s.io")
    of_beta = next(v for v in found["versions"] if v["version"] == "v1beta1")
    assert {r["name"] for r in legacy["resources"] if "/" not in r["name"]} == {
        r["resource"] for r in of_beta["resources"]
    }
    _, index = await http("GET", "/openapi/v3")
    _, document = await http("GET", index["paths"]["api/v1"]["serverRelativeURL"])
    patch = document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert "fieldValidation" in {parameter["name"] for parameter in patch["parameters"]}
    for path in ("/healthz", "/readyz", "/livez", "/version", "/api", "/api/v1", "/apis/apps"):
        assert (await http("GET", path))[0] == 200


async def test_tables(http, pod_spec):
    """With as=Table, rows of cells; columns are told once in a watch."""
    await http("POST", PODS, {"metadata": {"name": "p"}, "spec": pod_spec("n1")})
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    _, table = await http("GET", PODS, headers=accept)
    names = [column["name"] for column in table["columnDefinitions"]]
    row = dict(zip(names, table["rows"][0]["cells"], strict=True))
    assert (row["Name"], row["Ready"], row["Status"], row["Node"]) == ("p", "0/1", "Pending", "n1")
    assert table["rows"][0]["object"]["metadata"]["name"] == "p"
    _, whole = await http("GET", PODS, headers=accept, includeObject="Object")
    assert whole["rows"][0]["object"]["kind"] == "Pod"


async def test_warnings_are_headers(http):
    """What was ignored is told, and fieldValidation decides."""
    body = {"metadata": {"name": "a"}, "unknown": 1}
    async with http.session.post(MAPS, json=body) as response:
        assert response.headers["Warning"] == '299 - "unknown field \\"unknown\\""'
    assert (await http("POST", MAPS, {**body, "metadata": {"name": "b"}}, fieldValidation="Strict"))[0] == 400
    assert (await http("POST", MAPS, body, fieldValidation="Loose"))[0] == 400


async def test_apply_over_http(http):
    """YAML is read; 201 when it creates, 200 when it changes, 409 on conflict."""
    apply = {"Content-Type": "application/apply-patch+yaml"}
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: '%s'}\n"
    codes = []
    for manager, value in (("one", "1"), ("one", "2"), ("two", "3")):
        params = {"fieldManager": manager}
        async with http.session.patch(f"{MAPS}/a", data=text % value, params=params, headers=apply) as response:
            codes.append(response.status)
    assert codes == [201, 200, 409]


async def test_logs(api, http, pod_spec):
    """Whoever runs the pods is asked; tailLines and limitBytes cut."""
    await http("POST", PODS, {"metadata": {"name": "p"}, "spec": pod_spec("n1")})
    assert (await http("GET", f"{PODS}/p/log"))[0] == 501

    async def logs(namespace, pod, container, previous, follow):
        yield f"{namespace}/{pod}/{container} {previous} {follow}\n".encode()
        yield b"one\ntwo\n"

    api.set_log_provider(logs)
    assert await http("GET", f"{PODS}/p/log") == (200, "default/p/c False False\none\ntwo\n")
    assert await http("GET", f"{PODS}/p/log", tailLines="1") == (200, "two\n")
    assert await http("GET", f"{PODS}/p/log", limitBytes="3") == (200, "def")
    assert (await http("GET", f"{PODS}/p/log", container="x"))[0] == 400
    assert (await http("GET", f"{PODS}/p/log", timestamps="true"))[0] == 501


async def test_requests_are_counted(api, http):
    """By product, verb, resource and code, and bytes by watcher; also at /sim/counters."""
    before = api.counters.snapshot()
    made = await a_map(http)
    await http("GET", f"{MAPS}/none")
    await lines(http, MAPS, 1, resourceVersion=str(int(made["metadata"]["resourceVersion"]) - 1))
    found = api.counters.snapshot() - before
    assert {(r.agent, r.verb, r.resource, r.code): n for r, n in found.requests.items()} == {
        ("tester", "create", "configmaps", 201): 1,
        ("tester", "get", "configmaps", 404): 1,
        ("tester", "watch", "configmaps", 200): 1,
    }
    assert found.total(verb="get") == 1
    assert found.watched["tester"] > 100
    _, told = await http("GET", "/sim/counters")
    assert {"agent": "tester", "verb": "create", "resource": "configmaps", "code": 201, "count": 1} in told["requests"]
    api.counters.reset()
    assert api.counters.snapshot().requests == {}


async def test_binding_eviction_and_collections(http, pod_spec):
    """A pod is bound once, evicted as it is deleted; a collection of one namespace goes by selector."""
    for name in ("p", "q"):
        body = {"metadata": {"name": name, "labels": {"l": name}}, "spec": pod_spec()}
        await http("POST", PODS, body)
    target = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    assert (await http("POST", f"{PODS}/p/binding", target))[0] == 201
    assert (await http("POST", f"{PODS}/p/binding", target))[0] == 409
    assert (await http("GET", f"{PODS}/p"))[1]["spec"]["nodeName"] == "n"
    assert (await http("POST", f"{PODS}/p/eviction", {}))[0] == 201
    assert "deletionTimestamp" in (await http("GET", f"{PODS}/p"))[1]["metadata"]
    code, gone = await http("DELETE", PODS, labelSelector="l=q")
    assert (code, [item["metadata"]["name"] for item in gone["items"]]) == (200, ["q"])


async def test_status_by_put_and_deletion_by_body(http, pod_spec):
    """Both as client-go does them."""
    _, made = await http("POST", PODS, {"metadata": {"name": "p"}, "spec": pod_spec("n")})
    code, changed = await http("PUT", f"{PODS}/p/status", {**made, "status": {"phase": "Running"}})
    assert (code, changed["status"]) == (200, {"phase": "Running"})
    assert (await http("PUT", f"{PODS}/p/status", made))[0] == 409
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}}
    assert (await http("DELETE", f"{PODS}/p", options))[0] == 409
    options = {"gracePeriodSeconds": 0, "propagationPolicy": "Background", "dryRun": ["All"]}
    assert (await http("DELETE", f"{PODS}/p", options))[0] == 200
    assert (await http("GET", f"{PODS}/p"))[0] == 200
    assert (await http("DELETE", f"{PODS}/p", {**options, "dryRun": []}))[0] == 200
    assert (await http("GET", f"{PODS}/p"))[0] == 404


async def test_a_server_starts_again_on_its_port(http, api):
    """What is stored stays; clients come back."""
    await a_map(http)
    port = int(api.url.rsplit(":", 1)[1])
    await api.stop()
    await api.start(port=port)
    assert (await http("GET", f"{MAPS}/a"))[0] == 200


async def test_a_fault_of_the_server_is_an_answer(http, api, monkeypatch, caplog):
    """An unexpected exception is logged and told as 500."""
    monkeypatch.setattr(type(api.store), "get", lambda *_: 1 / 0)
    code, body = await http("GET", f"{MAPS}/a")
    assert (code, body["reason"]) == (500, "InternalError")
    assert "ZeroDivisionError" in caplog.text


async def test_a_client_that_goes_is_forgotten(api):
    """No watcher is kept for somebody who has hung up, though nothing happens that could be sent."""
    async with aiohttp.ClientSession(api.url) as session, session.get(MAPS, params={"watch": "true"}):
        assert len(list(api.store.hub.everybody())) == 1
    async with asyncio.timeout(5):
        while list(api.store.hub.everybody()):
            await asyncio.sleep(0.01)
