"""A worker's claim: it waits as long as it must, gets exactly its channels, and leaves nothing behind."""

import asyncio

import pytest
from attrs import define
from msgspec.structs import replace

from nvdra.api import kinds, names
from nvdra.api.local import DAEMON_STATUSES, DISK_SPECS, DaemonStatus, DiskSpec
from nvdra.api.records import PodRef
from nvdra.apps.controller import Controller
from nvdra.domains.channel_claim import snapshot as channel_snapshot
from nvdra.domains.channel_claim.snapshot import CHANNEL_FOLDER
from nvdra.domains.daemon_claim import snapshot as daemon_snapshot
from nvdra.engine.queue import Key
from nvdra.engine.store import Store
from nvdra.errors import ApiError, NotYet
from nvdra.node import CdiSpec, ChannelNumbers, DeviceNode, Edits
from tests.builders import CLIQUE, OWN, Little
from tests.nodes import NUMBERS, Plugin, label, reading
from tests.unreliable import Unreliable
from tests.virtual_time import until, virtually, wall

CHANNEL_0 = (f"{CHANNEL_FOLDER}/channel0", 234, 0)


@define(eq=False)
class Bench:
    """A cluster with a controller, one domain and one node with its plugin."""

    little: Little
    domain: object
    plugin: Plugin
    controller: asyncio.Task

    @property
    def uid(self):
        return self.domain.metadata.uid

    async def ready(self, name="node-1"):
        await self.little.daemon(name, self.uid)

    async def pod(self, uid, phase="Pending", name=""):
        spec = {"containers": [{"name": "c", "image": "i"}]}
        body = {"metadata": {"name": name or f"worker-{uid}"}, "spec": spec}
        made = await self.little.hands.create(kinds.PODS, body, "default")
        await self.little.hands.patch(
            kinds.PODS, made.metadata.name, {"status": {"phase": phase}}, "default", subresource="status"
        )
        return PodRef(made.metadata.name, made.metadata.uid)


async def a_bench(nodes=0, clique=CLIQUE, wrap=lambda cluster: cluster):
    little = await Little.started()
    controller = asyncio.create_task(Controller(little.client("controller"), wall=wall).run())
    domain = await little.domain(nodes=nodes)
    await little.node("node-1", clique)
    plugin = Plugin(wrap(little.client("plugin")), "node-1", seen=reading(clique))
    plugin.start()
    return Bench(little, domain, plugin, controller)


async def prepared(bench, uid="a", **more):
    bench.plugin.wants(uid, bench.uid, **more)
    await asyncio.sleep(1)
    await bench.ready()
    await until(lambda: bench.plugin.state(uid) == "Holding.Prepared")


@virtually
async def test_from_the_first_call_to_nothing():
    """Record, label, wait, release, device node and CDI file; and back, with nothing left on node and API."""
    bench = await a_bench(nodes=1)
    plugin = bench.plugin
    plugin.wants("a", bench.uid)
    await asyncio.sleep(10)
    assert plugin.state("a") == "Holding.Waiting"
    assert await label(plugin) == bench.uid
    assert set(plugin.disk.records) == {"a"}
    assert (plugin.disk.specs, plugin.disk.devices) == ({}, set())
    assert "node-1 has no IMEX daemon pod yet" in plugin.told("a").explanation
    await bench.ready()
    await until(lambda: plugin.state("a") == "Holding.Prepared")
    node = DeviceNode(*CHANNEL_0)
    expected = CdiSpec("k8s.compute-domain.nvidia.com/claim", {"a-channel-0": Edits(device_nodes=(node,))})
    assert plugin.disk.specs == {"a": expected}
    assert plugin.disk.devices == {CHANNEL_0}
    assert plugin.disk.records["a"].released
    plugin.lets_go("a")
    await until(lambda: plugin.state("a") is None)
    assert (plugin.left, await label(plugin)) == ({}, "")
    assert plugin.engine.cells == {}


def test_before_the_first_look_nothing_is_known():
    """A plugin that has not looked at its hardware takes no snapshot: nothing is ordered on a guess."""
    store = Store(lambda _: None)
    for module in (channel_snapshot, daemon_snapshot):
        with pytest.raises(NotYet, match="the hardware has not been looked at yet"):
            module.View("node-1").observe(store, Key(module.KIND, "a"), 0.0)


@virtually
async def test_nothing_is_done_before_it_is_written_down():
    """While the record cannot be written, the node gets no label."""
    bench = await a_bench()
    bench.plugin.disk.fate = lambda what: "before" if what == "record" else ""
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(30)
    assert (bench.plugin.state("a"), await label(bench.plugin)) == ("Recording", "")
    bench.plugin.disk.fate = lambda _: ""
    await asyncio.sleep(31)
    assert await label(bench.plugin) == bench.uid


@pytest.mark.parametrize("clique", ["", CLIQUE], ids=["no fabric", "fabric"])
@virtually
async def test_no_fabric_is_a_statement_too(clique):
    """A node without fabric joins, is let go without an IMEX daemon, and nothing is injected."""
    bench = await a_bench(nodes=1, clique=clique)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(3)
    assert bench.plugin.state("a") == ("Holding.Waiting" if clique else "Holding.Prepared")
    if not clique:
        assert (bench.plugin.disk.specs, bench.plugin.disk.devices) == ({}, set())
        bench.plugin.lets_go("a")
        await asyncio.sleep(3)
        assert (bench.plugin.left, await label(bench.plugin)) == ({}, "")


@virtually
async def test_an_unknown_clique_holds_and_names_itself():
    """While the fabric is training nothing is recorded, and the wait says so, not that a record is missing."""
    bench = await a_bench()
    bench.plugin.looks(reading(None))
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(2)
    assert (bench.plugin.state("a"), bench.plugin.disk.records) == ("Placing", {})
    assert bench.plugin.told("a").explanation == "node-1: GPU 0: fabric registration is in progress"
    bench.plugin.looks(reading())
    await asyncio.sleep(2)
    assert bench.plugin.state("a") == "Holding.Waiting"


@virtually
async def test_a_clique_never_changes_under_a_recorded_claim():
    """Another reading later, or none, changes neither record nor CDI file of what is prepared."""
    bench = await a_bench()
    await prepared(bench)
    before = (dict(bench.plugin.disk.records), dict(bench.plugin.disk.specs))
    for found in (reading(None), reading("other.2"), reading("", ChannelNumbers(error="no driver"))):
        bench.plugin.looks(found)
        await asyncio.sleep(2)
        assert bench.plugin.state("a") == "Holding.Prepared"
    assert (bench.plugin.disk.records, bench.plugin.disk.specs) == before


@virtually
async def test_one_channel_claim_a_node():
    """The second waits and says who holds the channel; it goes on when the first is gone."""
    bench = await a_bench()
    await prepared(bench)
    bench.plugin.wants("b", bench.uid)
    await asyncio.sleep(2)
    assert (bench.plugin.state("b"), set(bench.plugin.disk.records)) == ("Placing", {"a"})
    assert "channel 0 of node-1 is held by claim default/claim-a" in bench.plugin.told("b").explanation
    bench.plugin.lets_go("a")
    await until(lambda: bench.plugin.state("b") == "Holding.Prepared")
    assert (set(bench.plugin.disk.records), await label(bench.plugin)) == ({"b"}, bench.uid)
    assert set(bench.plugin.disk.specs) == {"b"}


@virtually
async def test_two_claims_at_the_same_moment():
    """Both find the node free; one gets it."""
    bench = await a_bench()
    for uid in ("a", "b"):
        bench.plugin.wants(uid, bench.uid)
    await asyncio.sleep(5)
    assert len(bench.plugin.disk.records) == 1
    assert sorted(filter(None, (bench.plugin.state(uid) for uid in ("a", "b")))) == ["Holding.Waiting", "Placing"]


@virtually
async def test_a_node_of_another_domain_is_refused_by_name():
    """The label says whose the node is; the claim waits, the label stays, and goes on when it is gone."""
    bench = await a_bench()
    other = await bench.little.domain("other")
    await bench.little.join("node-1", other.metadata.uid)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(3)
    assert (
        f"node node-1 belongs to the ComputeDomain with uid {other.metadata.uid}" in bench.plugin.told("a").explanation
    )
    assert await label(bench.plugin) == other.metadata.uid
    await bench.little.leave("node-1")
    await asyncio.sleep(31)
    assert await label(bench.plugin) == bench.uid


@virtually
async def test_a_daemon_of_another_domain_keeps_the_node():
    """One IMEX session a node: while the previous domain's daemon is there, the next has to wait."""
    bench = await a_bench()
    bench.plugin.wants("d", "previous-domain", kind="daemon", domain_name="team/old")
    await asyncio.sleep(2)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(2)
    assert "the IMEX daemon of ComputeDomain team/old is still on node-1" in bench.plugin.told("a").explanation
    bench.plugin.lets_go("d", "daemon")
    await asyncio.sleep(2)
    assert bench.plugin.state("a") == "Holding.Waiting"


@virtually
async def test_a_domain_that_is_gone_or_elsewhere_is_refused():
    """No ComputeDomain of that uid in the claim's namespace: the refusal says so, and nothing is labelled."""
    bench = await a_bench()
    elsewhere = await bench.little.domain("elsewhere", namespace="kube-public")
    bench.plugin.wants("a", elsewhere.metadata.uid, domain_name="elsewhere")
    await asyncio.sleep(2)
    text = bench.plugin.told("a").explanation
    assert f"no ComputeDomain with uid {elsewhere.metadata.uid} in namespace default" in text
    assert await label(bench.plugin) == ""
    bench.plugin.lets_go("a")
    await asyncio.sleep(2)
    assert bench.plugin.left == {}


@virtually
async def test_no_new_worker_joins_a_domain_that_ends():
    """While it is being deleted the label is not put; who was let go before keeps what he has."""
    bench = await a_bench()
    hold = {"metadata": {"finalizers": ["somebody.else/holds", names.FINALIZER]}}
    await bench.little.hands.patch(kinds.COMPUTE_DOMAINS, bench.domain.metadata.name, hold, "default")
    await bench.little.delete(bench.domain)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(3)
    assert "is being deleted: no new worker may join it" in bench.plugin.told("a").explanation
    assert await label(bench.plugin) == ""


@virtually
async def test_a_release_is_not_taken_back():
    """A peer's failure, a lost roster, even the end of the domain: a prepared claim stays prepared."""
    bench = await a_bench(nodes=1)
    await prepared(bench)
    before = dict(bench.plugin.disk.specs)
    await bench.little.daemon("node-1", bench.uid, ready=False)
    await asyncio.sleep(8)
    await bench.little.delete(bench.domain)
    await asyncio.sleep(8)
    assert await bench.little.seen(bench.domain) is None
    assert (bench.plugin.state("a"), bench.plugin.disk.specs) == ("Holding.Prepared", before)
    bench.plugin.lets_go("a")
    await asyncio.sleep(3)
    assert bench.plugin.left == {}


async def one_of_two(wrap=lambda cluster: cluster):
    """This node and its daemon are ready, the other node is missing, and the controller has gone to sleep."""
    bench = await a_bench(nodes=2, wrap=wrap)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(3)
    await bench.ready()
    await asyncio.sleep(10)
    assert (await bench.little.rosters())[CLIQUE].daemons[0].status == "Ready"
    bench.controller.cancel()
    await asyncio.sleep(0)
    return bench


@virtually
async def test_a_release_reads_the_roster_live():
    """Our view says that the domain has formed, the API server says otherwise: the worker is not let go."""
    bench = await one_of_two(Unreliable)
    roster = (await bench.little.rosters())[CLIQUE]
    bench.plugin.cluster.blind.add("computedomaincliques")
    bench.plugin.engine.store.put(kinds.ROSTERS, replace(roster, formed=True, message="a dream"))
    await asyncio.sleep(3)
    assert not bench.plugin.disk.records["a"].released


@pytest.mark.parametrize("labelled", [True, False])
@virtually
async def test_a_release_reads_the_label_live(labelled):
    """The domain has formed with this node in it; but if its label is gone, and with it soon the daemon, nobody is let go."""
    bench = await one_of_two(Unreliable)
    if not labelled:
        await bench.little.leave("node-1")
        bench.plugin.cluster.fate = lambda *what: "before" if what == ("patch", "nodes") else ""
    roster = (await bench.little.rosters())[CLIQUE]
    body = {"formed": True, "message": "", "status": "Ready"}
    await bench.little.hands.patch(kinds.ROSTERS, roster.metadata.name, body, OWN)
    await asyncio.sleep(0.1)
    assert bench.plugin.disk.records["a"].released == labelled


@virtually
async def test_a_record_that_may_be_there_counts():
    """Its write failed, perhaps after it took effect: no other claim gets the node, and it is cleaned up all the same."""
    bench = await a_bench()
    told = iter(["after"])
    bench.plugin.disk.fate = lambda what: next(told, "before") if what == "record" else ""
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(1)
    assert set(bench.plugin.disk.records) == {"a"}
    bench.plugin.wants("b", bench.uid)
    await asyncio.sleep(1)
    assert set(bench.plugin.disk.records) == {"a"}
    bench.plugin.lets_go("b")
    bench.plugin.lets_go("a")
    bench.plugin.disk.fate = lambda _: ""
    await asyncio.sleep(3)
    bench.plugin.is_told_so("b")
    assert bench.plugin.left == {}


@virtually
async def test_who_asks_again_after_letting_go_waits_again():
    """The node was given back meanwhile: the old release is no licence."""
    bench = await a_bench(nodes=1)
    await prepared(bench)
    bench.plugin.disk.fate = lambda what: "before" if what == "forget" else ""
    bench.plugin.lets_go("a")
    await asyncio.sleep(0.2)
    assert await label(bench.plugin) == ""
    await bench.little.no_daemon("node-1")
    await asyncio.sleep(3)
    bench.plugin.disk.fate = lambda _: ""
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(0.3)
    assert "a" not in bench.plugin.disk.specs
    assert not bench.plugin.disk.records["a"].released
    await asyncio.sleep(3)
    await bench.ready()
    await until(lambda: bench.plugin.state("a") == "Holding.Prepared")


@virtually
async def test_a_quick_successor_is_not_forgotten():
    """A worker is replaced so quickly that the controller sees no change: the next is prepared all the same."""
    bench = await a_bench(nodes=1)
    await prepared(bench)
    bench.plugin.wants("b", bench.uid)
    await asyncio.sleep(1)
    bench.plugin.lets_go("a")
    await until(lambda: bench.plugin.state("b") == "Holding.Prepared", limit=10)


@pytest.mark.parametrize("moment", ["Waiting", "Prepared", "Leaving"])
@virtually
async def test_a_restart_at_any_moment(moment):
    """What was begun is gone on with from the disk, and released in full."""
    bench = await a_bench(nodes=1, wrap=Unreliable)
    plugin = bench.plugin
    plugin.wants("a", bench.uid)
    await asyncio.sleep(2)
    if moment != "Waiting":
        await bench.ready()
        await until(lambda: plugin.state("a") == "Holding.Prepared")
    if moment == "Leaving":
        plugin.cluster.fate = lambda verb, plural: "before" if (verb, plural) == ("patch", "nodes") else ""
        plugin.lets_go("a")
        await asyncio.sleep(1)
        assert plugin.state("a") == "Releasing.Leaving"
    await plugin.restart()
    await asyncio.sleep(2)
    if moment == "Leaving":
        assert await label(plugin) == bench.uid
        plugin.cluster.fate = lambda *_: ""
    else:
        await bench.ready()
        await asyncio.sleep(3)
        assert plugin.told("a").word == "Prepared"
        plugin.lets_go("a")
    await asyncio.sleep(31)
    assert (plugin.left, await label(plugin)) == ({}, "")


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
async def test_a_label_that_may_be_there_is_taken_off_before_the_record_goes():
    """The node was labelled, the answer was lost, and the kubelet let go before the next look: no label stays behind."""
    asked, well = [], []

    def fate(verb, plural):
        """The first look is good, the label's answer is lost, and no second look comes through."""
        if plural != "nodes" or well:
            return ""
        asked.append(verb)
        return "after" if verb == "patch" else "before" if "patch" in asked else ""

    bench = await a_bench(wrap=lambda cluster: Unreliable(cluster, fate))
    bench.plugin.wants("a", bench.uid)
    await until(lambda: "patch" in asked)
    await asyncio.sleep(0.1)
    assert await bench.little.labelled(bench.uid) == ["node-1"]
    bench.plugin.lets_go("a")
    well.append(True)
    await until(lambda: not bench.plugin.disk.records)
    assert await bench.little.labelled(bench.uid) == []


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
async def test_waiting_pods_are_woken_until_the_kubelet_calls():
    """Released after the call was answered: its pods are touched, again after 5 s and 10 s, until a call has come."""
    bench = await a_bench(nodes=1)
    pod = await bench.pod("a")
    bench.plugin.wants("a", bench.uid, pods=(pod,))
    await asyncio.sleep(2)
    bench.plugin.hangs_up("a")
    await bench.ready()
    await until(lambda: bench.plugin.state("a") == "Holding.Calling")

    async def touched():
        found = await bench.little.hands.get(kinds.PODS, pod.name, "default")
        return found.metadata.annotations.get(names.NOTE_ANNOTATION, "")

    await asyncio.sleep(0.5)
    first = await touched()
    assert first.startswith("released ")
    await asyncio.sleep(4)
    assert await touched() == first
    await asyncio.sleep(2)
    second = await touched()
    assert second != first
    await asyncio.sleep(8)
    assert await touched() == second
    bench.plugin.wants("a", bench.uid, pods=(pod,))
    await until(lambda: bench.plugin.state("a") == "Holding.Prepared")
    bench.plugin.hangs_up("a", fetched=True)
    last = await touched()
    await asyncio.sleep(300)
    assert await touched() == last


@virtually
async def test_pods_that_run_are_left_alone():
    """After a restart nobody knows whether the kubelet has its answer: a pod that runs is touched once at most."""
    bench = await a_bench()
    pod = await bench.pod("a", "Running")
    await prepared(bench, pods=(pod,))
    await bench.plugin.restart()
    await asyncio.sleep(10)
    before = bench.little.store.counters.snapshot()
    await asyncio.sleep(1800)
    spent = bench.little.store.counters.snapshot() - before
    assert spent.total(agent="plugin", verb="patch", resource="pods") == 0


@virtually
async def test_pods_that_may_not_be_touched_are_not_tried_for_ever():
    """RBAC says no: it is told once, remembered, and calls are held instead."""

    class Strict(Unreliable):
        async def patch(self, kind, *args, **named):
            if kind is kinds.PODS:
                raise ApiError("pods is forbidden", code=403, reason="Forbidden")
            return await super().patch(kind, *args, **named)

    bench = await a_bench(wrap=Strict)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(1)
    bench.plugin.hangs_up("a")
    await bench.ready()
    await asyncio.sleep(3)
    assert bench.plugin.waker.allowed is False
    assert bench.plugin.told("a").word == "Prepared"


@virtually
async def test_a_new_reason_is_told_to_the_pod():
    """The kubelet shows our answer at its next try only; when the reason changes meanwhile, the pod gets an Event."""
    bench = await a_bench(nodes=1)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(3)
    text = bench.plugin.told("a").explanation
    bench.plugin.hangs_up("a")
    bench.plugin.memory.answered("a", text, asyncio.get_running_loop().time())
    await asyncio.sleep(5)
    assert bench.plugin.said.notes == []
    bench.plugin.engine.store.put(DAEMON_STATUSES, DaemonStatus(bench.uid, "START", False, "port 50000 in use"))
    await asyncio.sleep(3)
    (note,) = bench.plugin.said.notes
    assert note[:2] == ("worker-a", "WaitingForComputeDomain")
    assert "node-1's IMEX daemon is not ready: port 50000 in use" in note[2]


@virtually
async def test_a_reason_that_changes_just_after_an_answer_is_told_a_little_later():
    """Events of one claim keep their distance, but none is lost: the kubelet would show the old reason for a minute."""
    bench = await a_bench(nodes=1)
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(3)
    text = bench.plugin.told("a").explanation
    bench.plugin.hangs_up("a")
    bench.plugin.memory.answered("a", text, asyncio.get_running_loop().time())
    bench.plugin.engine.store.put(DAEMON_STATUSES, DaemonStatus(bench.uid, "START", False, "port 50000 in use"))
    await asyncio.sleep(4)
    (note,) = bench.plugin.said.notes
    assert "port 50000 in use" in note[2]


@virtually
async def test_a_node_object_that_is_gone_holds_up_no_release():
    """No node, no label: the claim's record goes as well."""
    bench = await a_bench()
    await prepared(bench)
    await bench.little.hands.delete(kinds.NODES, "node-1")
    bench.plugin.lets_go("a")
    await asyncio.sleep(5)
    assert bench.plugin.left == {}


@virtually
async def test_a_label_taken_by_hand_comes_back():
    """As long as the claim is held, the node belongs to its domain."""
    bench = await a_bench(nodes=1)
    await prepared(bench)
    await bench.little.leave("node-1")
    await asyncio.sleep(70)
    assert await label(bench.plugin) == bench.uid
    assert bench.plugin.state("a") == "Holding.Prepared"


@virtually
async def test_calls_that_fail_delay_only():
    """Every request and write fails now and then: prepared in the end, and nothing left after the release."""
    count = [0]

    def fate(*_):
        count[0] += 1
        return {4: "before", 7: "after"}.get(count[0] % 9, "")

    bench = await a_bench(nodes=1, wrap=lambda cluster: Unreliable(cluster, fate))
    bench.plugin.disk.fate = fate
    bench.plugin.wants("a", bench.uid)
    await asyncio.sleep(30)
    await bench.ready()
    await until(lambda: bench.plugin.state("a") == "Holding.Prepared", limit=200)
    bench.plugin.lets_go("a")
    await until(lambda: bench.plugin.state("a") is None, limit=300)
    assert (bench.plugin.left, await label(bench.plugin)) == ({}, "")
