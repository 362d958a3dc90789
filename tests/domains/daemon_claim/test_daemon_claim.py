"""An IMEX daemon's claim: the driver's part and ours in one CDI file, a folder shared with the plugin, and back."""

import asyncio
import json

import pytest
from attrs import evolve

from nvdra.api import kinds, names
from nvdra.api.local import DAEMON_STATUSES, DISK_SPECS, DaemonStatus, DiskSpec
from nvdra.api.records import PodRef
from nvdra.core.waits import reasons
from nvdra.errors import Refused
from nvdra.node import CdiSpec, ChannelNumbers, DeviceNode, Edits, Mount
from tests.builders import CLIQUE, OWN, Little
from tests.nodes import DOMAINS, Plugin, reading
from tests.virtual_time import until, virtually

DOMAIN = "d0000000-0000-0000-0000-000000000001"


async def a_plugin(seen=None):
    little = await Little.started()
    await little.node("node-1")
    plugin = Plugin(little.client("plugin"), "node-1", seen=seen or reading())
    plugin.start()
    return little, plugin


async def prepared(plugin, uid="d", **more):
    plugin.wants(uid, DOMAIN, kind="daemon", domain_name="team/train", **more)
    await until(lambda: plugin.state(uid, "daemon") == "Holding.Prepared")


async def released(plugin, uid="d"):
    plugin.lets_go(uid, "daemon")
    await until(lambda: plugin.state(uid, "daemon") is None)


@virtually
async def test_what_a_daemon_gets():
    """Who it is, the driver's edits, the management device and the shared folder; nothing is left afterwards."""
    _, plugin = await a_plugin()
    await prepared(plugin)
    env = (
        "DRIVER=580",
        f"CLIQUE_ID={CLIQUE}",
        f"COMPUTE_DOMAIN_UUID={DOMAIN}",
        "COMPUTE_DOMAIN_NAME=train",
        "COMPUTE_DOMAIN_NAMESPACE=team",
        "DRIVER_VERSION=580.95.05",
    )
    nodes = (DeviceNode("/dev/nvidiactl", 195, 255), DeviceNode("/dev/nvidia-caps/nvidia-cap7", 235, 7))
    edits = Edits(env, nodes, (Mount(f"/host/domains/{DOMAIN}", "/imexd"),))
    assert plugin.disk.specs == {"d": CdiSpec("k8s.compute-domain.nvidia.com/claim", {"d-daemon-0": edits})}
    written = json.loads(plugin.disk.files[DOMAINS / DOMAIN / "domain.json"])
    assert written == {"computeDomain": "team/train", "uid": DOMAIN, "clique": CLIQUE}
    assert plugin.told("d", "daemon").word == "Prepared"
    await released(plugin)
    assert plugin.left == {}


@virtually
async def test_another_driver_is_in_the_file_as_soon_as_it_is_there():
    """A driver that went leaves the file alone; the next one's files replace the old ones', which a restart would not find."""
    _, plugin = await a_plugin()
    await prepared(plugin)
    before = plugin.disk.specs["d"]
    plugin.looks(evolve(reading(), driver=""))
    await asyncio.sleep(1)
    assert plugin.disk.specs["d"] == before
    plugin.edits = lambda: Edits(("DRIVER=590",))
    plugin.looks(evolve(reading(), driver="590.44.01"))
    await until(lambda: plugin.disk.specs["d"] != before)
    (edits,) = plugin.disk.specs["d"].devices.values()
    assert {"DRIVER=590", "DRIVER_VERSION=590.44.01"} <= set(edits.env)
    await until(lambda: plugin.state("d", "daemon") == "Holding.Prepared")
    await released(plugin)
    assert plugin.left == {}


@virtually
async def test_without_fabric_no_management_device():
    """A daemon that finds itself on a node without fabric needs no capability."""
    _, plugin = await a_plugin(reading("", ChannelNumbers(error="none")))
    await prepared(plugin)
    (edits,) = plugin.disk.specs["d"].devices.values()
    assert [node.path for node in edits.device_nodes] == ["/dev/nvidiactl"]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (ChannelNumbers(error="no driver"), "no driver"),
        (ChannelNumbers(channel_major=1, caps_major=2), "fabric-imex-mgmt not found"),
    ],
)
@virtually
async def test_a_missing_capability_is_refused_by_name(numbers, said):
    """What the node lacks, and what to look at, is in the refusal; it goes on when it is there."""
    _, plugin = await a_plugin(reading(CLIQUE, numbers))
    plugin.wants("d", DOMAIN, kind="daemon")
    await asyncio.sleep(1)
    (trouble,) = plugin.told("d", "daemon").troubles.values()
    assert f"node-1 lacks the IMEX management capability: {said}" in str(trouble)
    plugin.looks(reading())
    await until(lambda: plugin.state("d", "daemon") == "Holding.Prepared")


@virtually
async def test_an_incomplete_driver_root_is_refused():
    """The port's refusal is the claim's trouble; nothing half is written."""

    def lacking():
        raise Refused("/run/nvidia/driver lacks nvidia-imex", reason="WrongDriverRoot")

    _, plugin = await a_plugin()
    plugin.edits = lacking
    plugin.wants("d", DOMAIN, kind="daemon")
    await asyncio.sleep(1)
    assert plugin.state("d", "daemon") == "Holding.Exposing"
    assert {str(e) for e in plugin.told("d", "daemon").troubles.values()} == {"/run/nvidia/driver lacks nvidia-imex"}
    assert plugin.disk.specs == {}
    await released(plugin)
    assert plugin.left == {}


@virtually
async def test_an_unknown_clique_holds_the_claim():
    """It waits for what NVML says, and says that."""
    _, plugin = await a_plugin(reading(None))
    plugin.wants("d", DOMAIN, kind="daemon")
    await asyncio.sleep(1)
    told = plugin.told("d", "daemon")
    assert (plugin.state("d", "daemon"), plugin.left.keys()) == ("Placing", {"calls"})
    assert reasons(told.waits, told.findings) == "node-1: GPU 0: fabric registration is in progress"


@virtually
async def test_a_wrong_cdi_file_is_written_anew():
    """A file of another domain or clique, or with nothing of ours in it, does not stand for the right one."""
    _, plugin = await a_plugin()
    await prepared(plugin)
    right = plugin.disk.specs["d"]
    (edits,) = right.devices.values()
    for wrong in (
        {"d-daemon-0": evolve(edits, env=("COMPUTE_DOMAIN_UUID=other", f"CLIQUE_ID={CLIQUE}"))},
        {"d-daemon-0": evolve(edits, env=(f"COMPUTE_DOMAIN_UUID={DOMAIN}", "CLIQUE_ID=other.1"))},
        {"x-daemon-0": edits},
    ):
        plugin.disk.specs["d"] = CdiSpec(right.kind, wrong)
        plugin.engine.store.put(DISK_SPECS, DiskSpec("d", plugin.disk.specs["d"]))
        await asyncio.sleep(1)
        assert plugin.disk.specs["d"] == right


@virtually
async def test_two_daemons_of_a_domain_share_its_folder():
    """A pod and its successor: the folder goes with the last of them."""
    _, plugin = await a_plugin()
    await prepared(plugin, "old")
    await prepared(plugin, "new")
    await released(plugin, "old")
    assert list(plugin.disk.files) == [DOMAINS / DOMAIN / "domain.json"]
    await released(plugin, "new")
    assert plugin.left == {}


@pytest.mark.parametrize(
    "state", ["Recording", "Holding.Staging", "Holding.Exposing", "Holding.Prepared", "Releasing.Forgetting"]
)
@virtually
async def test_a_restart_at_any_moment(state):
    """Whatever is on the disk is gone on with, and released in full."""
    _, plugin = await a_plugin()
    stops = {
        "Recording": "record",
        "Holding.Staging": "file",
        "Holding.Exposing": "cdi",
        "Releasing.Forgetting": "forget",
    }
    plugin.disk.fate = lambda what: "before" if what == stops.get(state) else ""
    plugin.wants("d", DOMAIN, kind="daemon")
    await asyncio.sleep(1)
    if state.startswith("Releasing"):
        plugin.lets_go("d", "daemon")
        await asyncio.sleep(1)
    assert plugin.state("d", "daemon") == state
    await plugin.restart()
    plugin.disk.fate = lambda _: ""
    await asyncio.sleep(1)
    if not state.startswith("Releasing"):
        plugin.wants("d", DOMAIN, kind="daemon")
        await until(lambda: plugin.state("d", "daemon") == "Holding.Prepared", limit=60)
        plugin.lets_go("d", "daemon")
    await until(lambda: plugin.state("d", "daemon") is None, limit=60)
    assert plugin.left == {}


@virtually
async def test_a_daemon_that_is_not_ready_says_why_on_its_pod():
    """After a moment, once for each reason; one that is merely starting says nothing."""
    little, plugin = await a_plugin()
    await little.daemon("node-1", DOMAIN, ready=False)
    (pod,) = await little.pods()
    await prepared(plugin, pods=(PodRef(pod.metadata.name, pod.metadata.uid), PodRef("gone", "x")))

    async def note():
        found = await little.hands.get(kinds.PODS, pod.metadata.name, OWN)
        return found.metadata.annotations.get(names.NOTE_ANNOTATION, "")

    def says(reason, *, ready=False):
        plugin.engine.store.put(DAEMON_STATUSES, DaemonStatus(DOMAIN, "START", ready, reason))

    says("port 50000 in use")
    await asyncio.sleep(2)
    assert await note() == ""
    await asyncio.sleep(2)
    assert await note() == "port 50000 in use"
    before = little.store.version
    await asyncio.sleep(600)
    assert little.store.version == before
    says("peer node-2 unreachable")
    await asyncio.sleep(1)
    assert await note() == "peer node-2 unreachable"
    says("", ready=True)
    await asyncio.sleep(1)
    says("crash loop")
    await asyncio.sleep(2)
    assert await note() == "peer node-2 unreachable"
    await asyncio.sleep(2)
    assert await note() == "crash loop"


@virtually
async def test_a_daemon_that_is_to_be_listed_with_others_says_so_only_when_it_is_not():
    """The controller takes up to 40 s for a large domain: no write for each node; what comes after has its own time."""
    little, plugin = await a_plugin()
    await little.daemon("node-1", DOMAIN, ready=False)
    (pod,) = await little.pods()
    await prepared(plugin, pods=(PodRef(pod.metadata.name, pod.metadata.uid),))

    async def note():
        found = await little.hands.get(kinds.PODS, pod.metadata.name, OWN)
        return found.metadata.annotations.get(names.NOTE_ANNOTATION, "")

    def says(reason, *, awaited):
        plugin.engine.store.put(DAEMON_STATUSES, DaemonStatus(DOMAIN, "START", False, reason, awaited))

    says("not listed yet", awaited=True)
    await asyncio.sleep(45)
    assert await note() == ""
    says("nvidia-imex has just been started", awaited=False)
    await asyncio.sleep(2)
    assert await note() == ""
    says("not listed yet", awaited=True)
    await asyncio.sleep(61)
    assert await note() == "not listed yet"


@virtually
async def test_a_ready_daemon_says_whom_it_does_not_reach():
    """As long as it is so, and not a word longer: also when the plugin was restarted meanwhile."""
    little, plugin = await a_plugin()
    await little.daemon("node-1", DOMAIN)
    (pod,) = await little.pods()
    await prepared(plugin, pods=(PodRef(pod.metadata.name, pod.metadata.uid),))

    async def note():
        found = await little.hands.get(kinds.PODS, pod.metadata.name, OWN)
        return found.metadata.annotations.get(names.NOTE_ANNOTATION, "")

    def says(reason):
        plugin.engine.store.put(DAEMON_STATUSES, DaemonStatus(DOMAIN, "Running.Ready", True, reason))

    says("not connected to 1 of 1 peers: node-2")
    await asyncio.sleep(4)
    assert await note() == "is ready, but not connected to 1 of 1 peers: node-2"
    says("")
    await asyncio.sleep(1)
    assert await note() == ""
    says("not connected to 1 of 1 peers: node-2")
    await asyncio.sleep(4)
    await plugin.restart()
    says("")
    await asyncio.sleep(2)
    assert await note() == ""


@virtually
async def test_a_file_without_a_record_is_swept():
    """A CDI file that nothing stands behind goes."""
    _, plugin = await a_plugin()
    plugin.disk.specs["x"] = CdiSpec("k8s.compute-domain.nvidia.com/claim", {"x-daemon-0": Edits(env=("A=1",))})
    await plugin.restart()
    await asyncio.sleep(1)
    assert plugin.left == {}


@virtually
async def test_who_asks_again_after_letting_go():
    """The release is broken off where it is, and all is there again."""
    _, plugin = await a_plugin()
    await prepared(plugin)
    plugin.disk.fate = lambda what: "before" if what == "forget" else ""
    plugin.lets_go("d", "daemon")
    await asyncio.sleep(1)
    assert plugin.left.keys() == {"records", "calls"}
    plugin.disk.fate = lambda _: ""
    await prepared(plugin)
    assert not plugin.disk.records["d"].leaving
    assert plugin.left.keys() == {"records", "specs", "files", "calls"}
