"""Claims from template to container and back: controller, scheduler, kubelet and a real plugin over gRPC."""

import os

import pytest

from nvdra.adapters.kubelet import wire
from nvdra.sim.kube import kinds

CHANNELS = "/dev/nvidia-caps-imex-channels"


@pytest.fixture
async def one(rack):
    await rack.start({"node-a": ""})
    await rack.with_plugins()
    await rack.template()
    return rack


async def test_a_channel_arrives_in_the_container_and_leaves_with_it(one):
    """From the template comes a claim, from the claim a device, from the plugin's CDI file a channel; then all goes."""
    plugin = one.plugins["node-a"]
    await one.pod("p", script=f"ls -la {CHANNELS}; trap 'exit 0' TERM; sleep 9999 & wait", claim="channel")
    pod = await one.running("p")
    claims = (await one.cluster.list(kinds.CLAIMS)).items
    assert [c["metadata"]["name"].rsplit("-", 1)[0] for c in claims] == ["p-c"]
    meta, status = claims[0]["metadata"], claims[0]["status"]
    assert meta["labels"] == {"from": "template"}
    assert meta["annotations"]["resource.kubernetes.io/pod-claim-name"] == "c"
    assert meta["finalizers"] == ["resource.kubernetes.io/delete-protection"]
    assert status["allocation"]["devices"]["results"][0]["device"] == "channel-0"
    assert [r["uid"] for r in status["reservedFor"]] == [pod["metadata"]["uid"]]
    assert plugin.calls == [("prepare", [meta["uid"]], wire.DRA_V1)]
    lines = (await one.log("p")).splitlines()
    if os.geteuid() == 0 and "stands for" not in lines[-1]:
        assert any(line.startswith("crw-rw-rw- 1 root root 507, 0 ") and line.endswith(" channel0") for line in lines)
    await one.cluster.delete(kinds.PODS, "p", "default")
    await one.gone(kinds.PODS, "p")
    await one.gone(kinds.CLAIMS, meta["name"])
    assert plugin.calls[1:] == [("unprepare", [meta["uid"]], wire.DRA_V1)]


async def test_a_refused_prepare_is_told_and_tried_again_when_the_pod_is_touched(one):
    """The plugin's words become the pod's Event; a status change wakes nobody, an annotation wakes at once."""
    plugin = one.plugins["node-a"]
    plugin.refuse = "waiting for 1 of 2 nodes"
    await one.pod("p", claim="channel")
    await one.told("p", "FailedPrepareDynamicResources")
    claim = (await one.cluster.list(kinds.CLAIMS)).items[0]["metadata"]["name"]
    text = f"NodePrepareResources failed for ResourceClaim {claim}: waiting for 1 of 2 nodes"
    assert (
        "FailedPrepareDynamicResources",
        f"Failed to prepare dynamic resources: prepare dynamic resources: {text}",
    ) in await one.events("p")
    plugin.refuse = ""
    note = {"status": {"message": "somebody wrote a status"}}
    await one.cluster.patch(kinds.PODS, "p", note, "default", subresource="status")
    await one.pod("later")
    await one.running("later")
    assert len(plugin.prepared) == 1
    await one.cluster.patch(kinds.PODS, "p", {"metadata": {"annotations": {"touched": "1"}}}, "default")
    await one.running("p")
    assert len(plugin.prepared) == 2


async def test_a_touch_during_a_call_is_not_lost(one):
    """A pod touched while its Prepare is running is tried again as soon as that call has failed."""
    plugin = one.plugins["node-a"]
    plugin.refuse, plugin.hold = "not yet", 0.3
    await one.pod("p", claim="channel")
    await one.until(lambda: plugin.prepared)
    await one.cluster.patch(kinds.PODS, "p", {"metadata": {"labels": {"touched": "1"}}}, "default")
    await one.until(lambda: len(plugin.prepared) == 2)


async def test_a_missing_driver_is_named(one):
    """A pod whose driver is not registered says so."""
    await one.plugins["node-a"].stop()

    async def wiped():
        return not (await one.cluster.list(kinds.SLICES)).items

    await one.until(wiped)
    await one.plugins["node-a"].publish()
    await one.pod("p", claim="channel")
    await one.told("p", "FailedPrepareDynamicResources", "DRA driver channels.example.com is not registered")


async def test_a_pod_stays_until_its_claims_are_unprepared(one):
    """A failing Unprepare keeps the pod object; once it works, containers were long stopped and the pod goes."""
    plugin = one.plugins["node-a"]
    await one.pod("p", claim="channel")
    pod = await one.running("p")
    plugin.refuse_unprepare = "busy"
    await one.cluster.delete(kinds.PODS, "p", "default")
    await one.until(lambda: [c for c in plugin.calls if c[0] == "unprepare"][1:])
    sandbox = one.nodes["node-a"].runtime.sandboxes[pod["metadata"]["uid"]]
    assert all(container.ended for container in sandbox.containers.values())
    assert await one.get(kinds.PODS, "p") is not None
    plugin.refuse_unprepare = ""
    await one.gone(kinds.PODS, "p")


async def test_a_shared_claim_is_prepared_once_and_unprepared_by_the_last(one):
    """Two pods with one claim: one Prepare, one Unprepare; the claim itself stays and is deallocated."""
    plugin = one.plugins["node-a"]
    request = {"name": "channel", "exactly": {"deviceClassName": "channel", "allocationMode": "ExactCount", "count": 1}}
    await one.create(kinds.CLAIMS, {"metadata": {"name": "shared"}, "spec": {"devices": {"requests": [request]}}})
    for name in ("p", "q"):
        await one.pod(name, claim="=shared")
        await one.running(name)
    await one.cluster.delete(kinds.PODS, "p", "default")
    await one.gone(kinds.PODS, "p")
    await one.cluster.delete(kinds.PODS, "q", "default")
    await one.gone(kinds.PODS, "q")
    assert [verb for verb, _, _ in plugin.calls] == ["prepare", "unprepare"]

    async def deallocated():
        claim = await one.get(kinds.CLAIMS, "shared")
        return not (claim.get("status") or {}).get("allocation") and not claim["metadata"].get("finalizers")

    await one.until(deallocated)


async def test_a_restarted_kubelet_prepares_again_and_wipes_slices(one):
    """The checkpoint survives a restart, `prepared` does not; the node's slices are wiped once."""
    plugin = one.plugins["node-a"]
    request = {"name": "channel", "exactly": {"deviceClassName": "channel"}}
    await one.create(kinds.CLAIMS, {"metadata": {"name": "shared"}, "spec": {"devices": {"requests": [request]}}})
    await one.pod("p", claim="=shared")
    await one.running("p")
    await one.nodes["node-a"].kubelet.restart()

    async def wiped():
        return not (await one.cluster.list(kinds.SLICES)).items

    await one.until(wiped)
    await one.pod("q", claim="=shared")
    await one.running("q")
    assert [verb for verb, _, _ in plugin.calls] == ["prepare", "prepare"]
    assert len(plugin.registered) == 2
    for name in ("p", "q"):
        await one.cluster.delete(kinds.PODS, name, "default")
        await one.gone(kinds.PODS, name)
    assert [verb for verb, _, _ in plugin.calls] == ["prepare", "prepare", "unprepare"]


async def test_claims_of_pods_that_went_while_the_kubelet_was_down_are_let_go(one):
    """A kubelet that comes back unprepares what the vanished pods held."""
    plugin = one.plugins["node-a"]
    await one.pod("p", claim="channel")
    await one.running("p")
    await one.nodes["node-a"].kubelet.stop()
    await one.cluster.delete(kinds.PODS, "p", "default", grace=0)
    await one.gone(kinds.PODS, "p")
    await one.nodes["node-a"].kubelet.start()
    await one.until(lambda: plugin.calls[-1][0] == "unprepare")


async def test_slices_go_when_the_driver_is_gone(one):
    """A driver whose sockets are closed loses its slices after the set time, here 0.3 s."""
    await one.plugins["node-a"].stop()

    async def wiped():
        return not (await one.cluster.list(kinds.SLICES)).items

    await one.until(wiped)


@pytest.mark.parametrize(
    ("versions", "service"),
    [(("v1beta1.DRAPlugin",), wire.DRA_V1BETA1), (("x", "v1.DRAPlugin", "v1beta1.DRAPlugin"), wire.DRA_V1)],
)
async def test_the_first_known_version_of_the_plugin_is_spoken(rack, versions, service):
    """The plugin's own order decides which protocol is used."""
    await rack.start({"node-a": ""})
    await rack.with_plugins()
    await rack.template()
    plugin = rack.plugins["node-a"]
    await plugin.stop()
    await rack.until(lambda: rack.nodes["node-a"].kubelet.plugins.find("channels.example.com") is None)
    plugin.versions = versions
    await plugin.start()
    await rack.until(lambda: len(plugin.registered) == 2)
    await rack.pod("p", claim="channel")
    await rack.running("p")
    assert plugin.calls[0][2] == service


async def test_a_plugin_without_a_known_version_is_told_why(rack):
    """Registration fails with a reason, and is tried again."""
    await rack.start({"node-a": ""})
    await rack.with_plugins()
    plugin = rack.plugins["node-a"]
    await plugin.stop()
    plugin.versions = ("1.0.0",)
    plugin.registered.clear()
    await plugin.start(slices=False)
    await rack.until(lambda: plugin.registered)
    assert plugin.registered[0][0] is False
    assert "none of the plugin's services is supported: 1.0.0" in plugin.registered[0][1]


async def test_an_unresolvable_cdi_device_keeps_the_container_from_starting(one, root):
    """A CDI file that is gone before the container is created shows as CreateContainerError; no second Prepare."""
    plugin = one.plugins["node-a"]
    plugin._write_cdi = lambda uid: None
    await one.pod("p", claim="channel")
    await one.told("p", "Failed", "unresolvable CDI devices k8s.channels.example.com/claim=")

    async def waiting():
        state = (await one.get(kinds.PODS, "p"))["status"]["containerStatuses"][0]["state"]
        return (state.get("waiting") or {}).get("reason") == "CreateContainerError"

    await one.until(waiting)
    del plugin._write_cdi
    plugin._write_cdi(plugin.prepared[0][0])
    await one.running("p")
    assert len(plugin.prepared) == 1


async def test_deleting_a_pod_whose_prepare_is_held_does_not_wait_for_it(one):
    """The call is given up, its claim unprepared, the pod removed."""
    plugin = one.plugins["node-a"]
    plugin.hold = 40
    await one.pod("p", claim="channel")
    await one.until(lambda: plugin.prepared)
    await one.cluster.delete(kinds.PODS, "p", "default")
    await one.gone(kinds.PODS, "p")
    assert [verb for verb, _, _ in plugin.calls] == ["prepare", "unprepare"]


async def test_a_missing_template_is_told(one):
    """A pod whose claim template does not exist says so, and starts once it is there."""
    await one.pod("p", claim="late")
    await one.told("p", "FailedResourceClaimCreation", 'resource claim template "late": not found')
    await one.template("late")
    await one.running("p")
