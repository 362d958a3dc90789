"""What a worker gets: CDI file and device nodes, exactly those of its record, and none that stays behind."""

import asyncio

from nvdra.api.local import DISK_SPECS, DiskSpec
from nvdra.domains.channel_claim.snapshot import CHANNEL_FOLDER
from nvdra.node import CdiSpec, ChannelNumbers, DeviceNode, Edits
from tests.builders import CLIQUE
from tests.domains.channel_claim.bench import CHANNEL_0, a_bench, prepared
from tests.nodes import NUMBERS, reading
from tests.virtual_time import until, virtually


@virtually
async def test_a_cdi_file_that_was_changed_is_put_right():
    """What is on disk is exactly what the record says, also after somebody else wrote there."""
    bench = await a_bench()
    await prepared(bench)
    plugin, right = bench.plugin, dict(bench.plugin.disk.specs)
    wrong = CdiSpec("k8s.compute-domain.nvidia.com/claim", {"a-channel-0": Edits(env=("X=1",))})
    plugin.disk.specs["a"] = wrong
    plugin.engine.store.put(DISK_SPECS, DiskSpec("a", wrong))
    plugin.engine.queue.add(next(iter(plugin.engine.cells)))
    await asyncio.sleep(2)
    assert plugin.disk.specs == right
    plugin.disk.devices.clear()
    plugin.engine.store.put(DISK_SPECS, DiskSpec("a", right["a"], nodes_missing=1))
    await asyncio.sleep(2)
    assert plugin.disk.devices == {CHANNEL_0}


@virtually
async def test_all_channels_are_as_many_as_the_driver_has():
    """allocationMode All: every channel that the driver made, in one CDI device."""
    bench = await a_bench()
    await prepared(bench, mode="All")
    (edits,) = bench.plugin.disk.specs["a"].devices.values()
    assert [(n.path, n.minor) for n in edits.device_nodes] == [(f"{CHANNEL_FOLDER}/channel{n}", n) for n in range(4)]
    bench.plugin.lets_go("a")
    await asyncio.sleep(2)
    assert bench.plugin.left == {}


@virtually
async def test_device_nodes_of_others_stay():
    """A channel that was there before the claim is there after it."""
    bench = await a_bench()
    bench.plugin.disk.devices.add(CHANNEL_0)
    await prepared(bench)
    bench.plugin.lets_go("a")
    await asyncio.sleep(2)
    assert bench.plugin.left == {"devices": {CHANNEL_0}}


@virtually
async def test_a_driver_that_comes_late_leaves_no_device_node_behind():
    """Recorded before the driver knew its channels: what is made later is still ours to remove, after a restart too."""
    bench = await a_bench()
    bench.plugin.looks(reading(CLIQUE, ChannelNumbers(error="/proc/devices has no nvidia-caps-imex-channels")))
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(2)
    await bench.ready()
    await asyncio.sleep(2)
    assert "node-1 has no IMEX channels" in bench.plugin.told("a").explanation
    bench.plugin.looks(reading(CLIQUE, NUMBERS))
    await until(lambda: bench.plugin.state("a") == "Holding.Prepared")
    assert bench.plugin.disk.devices == {CHANNEL_0}
    await bench.plugin.restart()
    bench.plugin.lets_go("a")
    await asyncio.sleep(3)
    assert bench.plugin.left == {}


@virtually
async def test_device_nodes_go_with_the_record_even_if_the_plugin_dies_between():
    """The CDI file went and the plugin with it: the record still stands for the device nodes, and takes them along."""
    bench = await a_bench()
    await prepared(bench)
    bench.plugin.disk.fate = lambda what: "after" if what == "uncdi" else ""
    bench.plugin.lets_go("a")
    await until(lambda: not bench.plugin.disk.specs)
    assert bench.plugin.disk.devices == {CHANNEL_0}
    bench.plugin.disk.fate = lambda what: ""
    await bench.plugin.restart()
    await until(lambda: not bench.plugin.disk.records)
    assert bench.plugin.disk.devices == set()


@virtually
async def test_a_cdi_file_without_a_record_is_swept():
    """A file that nothing stands behind goes."""
    bench = await a_bench()
    orphan = CdiSpec("k8s.compute-domain.nvidia.com/claim", {"x": Edits(device_nodes=(DeviceNode(*CHANNEL_0),))})
    bench.plugin.disk.specs["x"] = orphan
    await bench.plugin.restart()
    await asyncio.sleep(1)
    assert bench.plugin.left == {}


@virtually
async def test_a_file_whose_record_was_lost_stays_until_the_kubelet_lets_go():
    """Its container may run, and may be started again without a call of the kubelet: then it must find its channel."""
    bench = await a_bench()
    await prepared(bench)
    before = dict(bench.plugin.disk.specs)
    await bench.plugin.loses("a")
    await asyncio.sleep(700)
    assert bench.plugin.disk.specs == before
    assert bench.plugin.disk.devices == {CHANNEL_0}
    assert bench.plugin.engine.cells == {}, "nothing is to be done, and nothing is looked at again and again"
    bench.plugin.lets_go("a")
    await until(lambda: not bench.plugin.disk.specs)
    bench.plugin.is_told_so("a")
    assert bench.plugin.left == {"devices": {CHANNEL_0}}, "only the record knew whose it is"


@virtually
async def test_a_claim_whose_record_was_lost_is_recorded_anew_when_it_is_wanted():
    """The file stays as it is, from the loss to the end; with the new record all goes as ever."""
    bench = await a_bench()
    await prepared(bench)
    before = dict(bench.plugin.disk.specs)
    bench.plugin.disk.fate = lambda what: "before" if what == "cdi" else ""
    await bench.plugin.loses("a")
    await asyncio.sleep(1)
    bench.plugin.wants("a", bench.uid)
    await until(lambda: bench.plugin.state("a") == "Holding.Prepared")
    assert (set(bench.plugin.disk.records), bench.plugin.disk.specs) == ({"a"}, before)
    bench.plugin.disk.fate = lambda _: ""
    bench.plugin.lets_go("a")
    await until(lambda: bench.plugin.state("a") is None)
    assert bench.plugin.left.keys() <= {"devices"}
