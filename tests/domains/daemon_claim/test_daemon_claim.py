"""An IMEX daemon's claim: the driver's part and ours in one CDI file, a folder shared with the plugin, and back."""

import asyncio
import json

import pytest
from attrs import evolve

from nvdra.api.local import DISK_SPECS, DiskSpec
from nvdra.core.waits import reasons
from nvdra.errors import Refused
from nvdra.node import CdiSpec, ChannelNumbers, DeviceNode, Edits, Mount
from tests.builders import CLIQUE
from tests.domains.daemon_claim.claims import DOMAIN, a_plugin, prepared, released
from tests.nodes import DOMAINS, reading
from tests.virtual_time import until, virtually


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


@virtually
async def test_a_daemon_whose_record_was_lost_keeps_file_and_folder():
    """It may run: nothing is taken from under it, not even by another daemon of its domain that comes and goes."""
    _, plugin = await a_plugin()
    await prepared(plugin)
    before = (dict(plugin.disk.specs), dict(plugin.disk.files))
    await plugin.loses("d")
    await prepared(plugin, "e")
    await released(plugin, "e")
    await asyncio.sleep(700)
    assert (plugin.disk.specs, plugin.disk.files) == before
    plugin.lets_go("d", "daemon")
    await until(lambda: not plugin.disk.specs)


@virtually
async def test_a_daemon_whose_record_was_lost_is_let_go_before_it_could_be_recorded_anew():
    """The node does not know its clique when the kubelet asks: the file stays meanwhile, and goes when it lets go."""
    _, plugin = await a_plugin()
    await prepared(plugin)
    plugin.looks(reading(None))
    await plugin.loses("d")
    plugin.wants("d", DOMAIN, kind="daemon", domain_name="team/train")
    await asyncio.sleep(1)
    assert (plugin.state("d", "daemon"), plugin.disk.records) == ("Placing", {})
    assert set(plugin.disk.specs) == {"d"}
    await released(plugin)
    assert not plugin.disk.specs
