"""The kubelet plugin on its node: registration, devices, hardware that comes late, restarts of everything around it."""

import json
import zlib

import attrs
import pytest

from nvdra.api import names
from nvdra.node import NvmlReading
from nvdra.sim import manifests
from nvdra.sim.kube.kinds import CLAIMS, DAEMON_SETS, PODS, SLICES
from nvdra.sim.nvml import change_fabric, cluster_uuid, gpus_of, in_clique, write_hardware
from tests.rack.rig import OWN

CLUSTER = cluster_uuid("rack-0")


async def test_it_registers_and_publishes_its_two_devices_with_its_clique(raised):
    """channel-0 and daemon-0 in one slice of the node's pool; the channel tells the clique that NVML tells."""
    rig = await raised(1, without_fabric=1)
    for node, clique in (("node-1", f"{CLUSTER}.32766"), ("node-2", names.NO_FABRIC)):
        (published,) = [s for s in await rig.all(SLICES) if s["spec"]["nodeName"] == node]
        assert published["spec"]["driver"] == names.CD_DRIVER
        devices = {d["name"]: d["attributes"] for d in published["spec"]["devices"]}
        assert devices.keys() == {"channel-0", "daemon-0"}
        assert devices["channel-0"] == {"type": {"string": "channel"}, "id": {"int": 0}, "clique": {"string": clique}}
        assert devices["daemon-0"]["type"] == {"string": "daemon"}
        assert rig.rack.nodes[node].kubelet.plugins.find(names.CD_DRIVER) is not None


async def test_slices_that_were_wiped_are_made_again(raised):
    """By a kubelet that starts, or by hand."""
    rig = await raised(1)
    for wipe in (rig.rack.nodes["node-1"].kubelet.restart, lambda: _wipe(rig)):
        old = (await rig.all(SLICES))[0]["metadata"]["uid"]
        await wipe()

        async def anew(old=old):
            return [s for s in await rig.all(SLICES) if s["metadata"]["uid"] != old]

        await rig.until("a new slice", anew)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")


async def test_a_driver_that_comes_late_needs_no_restart(raised):
    """No NVML at first: the worker waits and its Event says so; when the driver is there, it runs, same plugin."""
    rig = await raised(1, install_driver=False)
    good = _hardware(rig)
    write_hardware(rig.root() / "hardware.json", NvmlReading(error="libnvidia-ml.so.1: cannot open shared object file"))
    await rig.rack.cluster.create(DAEMON_SETS, manifests.plugin_daemonset(), OWN)
    await rig.rack.cluster.create(PODS, manifests.controller_pod(18), OWN)
    await rig.published(1)
    (published,) = await rig.all(SLICES)
    assert "clique" not in published["spec"]["devices"][0]["attributes"]
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.said("a", "libnvidia-ml.so.1: cannot open shared object file", "FailedPrepareDynamicResources")
    plugin = rig.plugin()
    write_hardware(rig.root() / "hardware.json", good)
    await rig.running("a", limit=20)
    assert rig.plugin() is plugin
    await rig.until("the slice tells the clique", lambda: _published_clique(rig, f"{CLUSTER}.32766"))


@pytest.mark.parametrize(
    ("fabric", "gpu", "words"),
    [
        (attrs.evolve(in_clique(CLUSTER, 32766), state=2), None, "fabric registration is in progress"),
        (attrs.evolve(in_clique(CLUSTER, 32766), status=999), None, "fabric registration failed with NVML status 999"),
        (in_clique(CLUSTER, 7), 3, "GPUs differ: GPU 0 ("),
    ],
)
async def test_a_fabric_that_is_not_certain_holds_the_claim_and_names_itself(raised, fabric, gpu, words):
    """Still training, failed, or GPUs that differ: nothing is recorded or labelled until it is clear."""
    rig = await raised(1)
    good = _hardware(rig)
    change_fabric(rig.root() / "hardware.json", fabric, gpu)
    await rig.until("the plugin has seen it", lambda: _published_clique(rig, None))
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.said("a", words, "FailedPrepareDynamicResources")
    assert await rig.label("node-1") == ""
    assert rig.left() == []
    write_hardware(rig.root() / "hardware.json", good)
    await rig.running("a", limit=20)
    assert "channel0" in await rig.log("a")


async def test_a_clique_does_not_change_under_a_prepared_claim(raised):
    """NVML changes its mind: the worker keeps its channel, and a condition names the node."""
    rig = await raised(1)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    files = rig.cdi()
    change_fabric(rig.root() / "hardware.json", in_clique(CLUSTER, 1))

    async def disagree():
        condition = await rig.condition("CliquesAgree")
        return condition.get("status") == "False" and "node-1 joined as" in condition["message"]

    await rig.until("the condition", disagree)
    assert rig.cdi() == files
    assert await rig.runs("a")()
    await rig.delete_all()
    await rig.clean()


async def test_a_kubelet_restart_changes_nothing_for_running_workers(raised):
    """Prepared claims are answered from their records; containers, files and labels stay; the end is clean."""
    rig = await raised(2)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.create_worker("b", "node-2")
    await rig.running("a", "b")
    files, worker, daemon = rig.cdi(), rig.container("node-1", "a", "worker"), rig.daemon("node-1")
    rig.silent("nvdra-kubelet-plugin")
    await rig.rack.nodes["node-1"].kubelet.restart()
    await rig.stays("a runs", rig.runs("a"), 0.5)
    rig.mend()
    assert rig.cdi() == files
    assert rig.container("node-1", "a", "worker") is worker
    assert rig.daemon("node-1") is daemon
    await rig.delete_all()
    await rig.clean()


async def test_after_a_reboot_the_worker_waits_for_its_domain_again(raised):
    """What was released before the boot counts no more: the worker runs again only when its node's daemon does."""
    rig = await raised(1)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    worker = rig.container("node-1", "a", "worker")
    rig.imex("node-1", ready_after=3)
    await rig.rack.nodes["node-1"].reboot()
    await rig.until("recorded as not released", lambda: [r for r in rig.records() if not r["released"]])
    assert rig.cdi() == {} or not rig.channels()
    await rig.said("a", "node-1", "FailedPrepareDynamicResources")
    await rig.until("another container", lambda: _other(rig, worker))
    await rig.running("a")
    assert rig.records()[0]["released"]
    assert rig.channels() == {"channel0"}
    await rig.delete_all()
    await rig.clean()


async def test_a_pod_that_ended_unheard_is_cleaned_up_by_the_sweep(raised):
    """Claim and pods vanish while the plugin is away and the kubelet forgets them: nothing of them is left."""
    rig = await raised(1)
    await rig.create_domain()
    await rig.create_worker("a", "node-1")
    await rig.running("a")
    node = rig.rack.nodes["node-1"]

    async def vanish():
        await node.kubelet.stop()
        await rig.rack.cluster.delete(PODS, "a", "default", grace=0)
        await rig.until("the claim is gone", lambda: _no_claims(rig))
        _forget(rig.root() / "var/lib/kubelet/dra_manager_state", namespace="default")
        await node.runtime.remove(next(u for u, s in node.runtime.sandboxes.items() if s.pod[1] == "a"))
        await node.kubelet.start()

    await rig.restart_plugin(meanwhile=vanish)
    await rig.until("no record", lambda: not rig.records())
    await rig.until("no label", lambda: _unlabelled(rig))
    await rig.delete_all()
    await rig.clean()


def _hardware(rig):
    return NvmlReading("580.95.05", gpus_of("node-1", 4, in_clique(CLUSTER, 32766)))


def _forget(state, namespace):
    """Make a kubelet lose what it knew of the claims of a namespace."""
    whole = json.loads(state.read_text())
    known = json.loads(whole["Data"])
    known["Entries"] = [entry for entry in known["Entries"] if entry["Namespace"] != namespace]
    data = json.dumps(known)
    state.write_text(json.dumps({"Data": data, "Checksum": zlib.crc32(data.encode())}))


async def _wipe(rig):
    for published in await rig.all(SLICES):
        await rig.delete(SLICES, published["metadata"]["name"], namespace="")


async def _published_clique(rig, clique):
    channels = [d for s in await rig.all(SLICES) for d in s["spec"]["devices"] if d["name"] == "channel-0"]
    return [d["attributes"].get("clique", {}).get("string") for d in channels] == [clique]


def _other(rig, container):
    try:
        return rig.container("node-1", "a", "worker") is not container
    except AssertionError:
        return False


async def _no_claims(rig):
    return await rig.claim_of("a") is None and not [
        c for c in await rig.all(CLAIMS) if c["metadata"]["namespace"] == "default"
    ]


async def _unlabelled(rig):
    return await rig.label("node-1") == ""
