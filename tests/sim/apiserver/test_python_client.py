"""The official Python client against the server. It blocks, so it runs in a thread."""

import asyncio

import pytest

kubernetes = pytest.importorskip("kubernetes")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
async def client(api):
    configuration = kubernetes.client.Configuration()
    configuration.host = api.url
    client = kubernetes.client.ApiClient(configuration)
    yield client
    client.close()


async def test_pods(client, pod_spec):
    """Typed create, get, list, patch, watch and delete."""

    def story():
        core = kubernetes.client.CoreV1Api(client)
        core.create_namespaced_pod("default", {"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": pod_spec("n")})
        core.patch_namespaced_pod("p", "default", {"metadata": {"labels": {"c": "d"}}})
        listed = core.list_namespaced_pod("default", label_selector="a=b", field_selector="spec.nodeName=n")
        version = listed.metadata.resource_version
        core.delete_namespaced_pod("p", "default", grace_period_seconds=0)
        watch = kubernetes.watch.Watch()
        stream = watch.stream(core.list_namespaced_pod, "default", resource_version=version, timeout_seconds=1)
        events = [(event["type"], event["object"].metadata.name) for event in stream]
        with pytest.raises(kubernetes.client.ApiException) as refused:
            core.read_namespaced_pod("p", "default")
        return listed.items[0].metadata.labels, events, refused.value.status

    assert await asyncio.to_thread(story) == ({"a": "b", "c": "d"}, [("DELETED", "p")], 404)


async def test_custom_objects(api, client, ours, domain):
    """Custom objects with a status of their own, and the dynamic client's discovery."""
    api.store = ours.store  # the routes look the store up with each request

    def story():
        custom = kubernetes.client.CustomObjectsApi(client)
        where = ("resource.nvidia.com", "v1beta1", "default", "computedomains")
        custom.create_namespaced_custom_object(*where, domain())
        custom.patch_namespaced_custom_object_status(*where, "cd", {"status": {"status": "Ready"}})
        listed = custom.list_namespaced_custom_object(*where)
        found = kubernetes.dynamic.DynamicClient(client).resources.get(
            api_version="resource.nvidia.com/v1beta1", kind="ComputeDomain"
        )
        names = [item.metadata.name for item in found.get(namespace="default").items]
        custom.delete_namespaced_custom_object(*where, "cd")
        return listed["kind"], [item["status"]["status"] for item in listed["items"]], names

    assert await asyncio.to_thread(story) == ("ComputeDomainList", ["Ready"], ["cd"])
