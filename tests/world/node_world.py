"""The closed loop of channel-claim and daemon-claim: one node's plugin, with a real controller, and a kubelet's moods."""

import asyncio
import contextlib

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from nvdra.api import kinds, names
from nvdra.api.local import DISK_SPECS, RECORDS, DiskSpec
from nvdra.apps.controller import Controller
from nvdra.errors import NotFound
from nvdra.node import CdiSpec, Edits
from tests.builders import CLIQUE, OWN, Little
from tests.nodes import DOMAINS as FOLDERS
from tests.nodes import Disk, Plugin, reading
from tests.unreliable import Unreliable
from tests.virtual_time import wall
from tests.world.machines import World, now

NODE = "node-1"
CHANNELS, DAEMONS, DOMAINS = ("a", "b"), ("old", "new"), ("one", "two")
channels, daemons, domains = st.sampled_from(CHANNELS), st.sampled_from(DAEMONS), st.sampled_from(DOMAINS)


class NodeWorld(World):
    little: Little

    async def begin(self):
        self.loop.create_task(Controller(self.little.client("controller"), wall=wall).run())
        self.domains = {name: await self.little.domain(name, number) for number, name in enumerate(DOMAINS)}
        self.stranger = await self.little.domain("stranger")
        self.strange = False
        await self.little.node(NODE)
        wires = Unreliable(self.little.client("plugin"), self.fate)
        self.plugin = Plugin(wires, NODE, Disk(fate=self.disk_fate, recording=self.recording, removing=self.removing))
        self.plugin.start()

    def disk_fate(self, what):
        """A folder's file is there or not: what a plugin finds unused at its start it sweeps (Recovery, not here)."""
        fate = self.fate(what)
        return "before" if fate and what == "file" else fate

    # The kubelet.

    @precondition(lambda self: not self.strange)
    @rule(uid=channels, name=domains)
    def wants(self, uid, name):
        """A claim is of one domain for good."""
        record, call = self.plugin.disk.records.get(uid), self.plugin.call(uid)
        known = (record and record.domain) or (call and call.domain)
        self.plugin.wants(uid, known or self.domains[name].metadata.uid)

    @rule(uid=channels, fetched=st.booleans())
    def hangs_up(self, uid, fetched):
        told = self.plugin.told(uid)
        self.plugin.hangs_up(uid, fetched=fetched and told is not None and told.word == "Prepared")

    @rule(uid=channels)
    def lets_go(self, uid):
        if self.known(uid):
            self.plugin.lets_go(uid)

    @rule(uid=daemons, name=domains)
    def wants_a_daemon(self, uid, name):
        record, call = self.plugin.disk.records.get(uid), self.plugin.call(uid)
        known = (record and record.domain) or (call and call.domain)
        self.plugin.wants(uid, known or self.domains[name].metadata.uid, kind="daemon", domain_name=f"default/{name}")

    @rule(uid=daemons)
    def lets_a_daemon_go(self, uid):
        if self.known(uid):
            self.plugin.lets_go(uid, "daemon")

    @rule(uid=channels, name=domains)
    def a_worker_runs(self, uid, name):
        """The usual way, with time for it."""
        if not self.strange and not self.known(uid):
            self.wants(uid, name)
            self.passes(3)
            self.daemon(True)
            self.passes(5)

    def known(self, uid):
        return uid in self.plugin.disk.records or uid in self.plugin.disk.specs or self.plugin.call(uid) is not None

    # The cluster and its users.

    @precondition(lambda self: not self.strange and not self.plugin.disk.records)
    @rule(uid=channels, name=domains)
    def ready_for_a_moment(self, uid, name):
        """The release cannot be written while all is ready; when it can be, nothing is, and the plugin looks away."""
        self.wants(uid, name)
        self.passes(3)
        self.refused.add(("record",))
        self.daemon(True)
        self.passes(2)
        self.its_eyes_close()
        self.daemon(False)
        self.passes(10)
        self.refused.clear()
        self.passes(20)
        self.its_eyes_open()

    @rule(ready=st.booleans())
    def daemon(self, ready):
        label = self.label()
        if label and not self.strange:
            self.no_daemon()
            self.run(self.little.daemon(NODE, label, ready=ready))

    @rule()
    def no_daemon(self):
        self.run(self.little.no_daemon(NODE))

    @rule()
    def somebody_takes_the_label(self):
        if not self.strange:
            self.run(self.little.leave(NODE))

    @precondition(lambda self: not self.strange)
    @rule()
    def a_stranger_labels_the_node(self):
        if not self.label():
            self.run(self.little.join(NODE, self.stranger.metadata.uid))
            self.strange = True

    @precondition(lambda self: self.strange)
    @rule()
    def the_stranger_leaves(self):
        self.strange = False
        self.run(self.little.leave(NODE))

    @rule(name=domains)
    def a_domain_is_made_anew(self, name):
        self.run(self._again(name))

    async def _again(self, name):
        with contextlib.suppress(NotFound):
            await self.little.delete(self.domains[name])
        for _ in range(100):
            if await self.little.seen(self.domains[name]) is None:
                break
            await asyncio.sleep(0.2)
        self.domains[name] = await self.little.domain(name, DOMAINS.index(name))

    # The node.

    @rule()
    def the_plugin_restarts(self):
        self.run(self.plugin.restart())
        self.passes(0.01)

    @rule(found=st.sampled_from([reading(), reading(), reading(None), reading("other.1")]))
    def hardware_reads(self, found):
        self.plugin.looks(found)

    @rule(uid=channels)
    def somebody_writes_the_cdi_file(self, uid):
        if uid in self.plugin.disk.specs:
            wrong = CdiSpec("k8s.compute-domain.nvidia.com/claim", {f"{uid}-channel-0": Edits(env=("X=1",))})
            self.plugin.disk.specs[uid] = wrong
            self.plugin.engine.store.put(DISK_SPECS, DiskSpec(uid, wrong))

    @rule()
    def its_eyes_close(self):
        self.plugin.cluster.blind.add("computedomaincliques")

    @rule()
    def its_eyes_open(self):
        self.plugin.cluster.blind.clear()

    # What must never be.

    def recording(self, record):
        before = self.plugin.disk.records.get(record.uid)
        if record.released and not (before and before.released) and not self.may_go(record):
            self.broken.append(f"{record} is let go before its domain is ready")

    def removing(self, path):
        users = [r for r in self.plugin.disk.records.values() if r.kind == "daemon" and not r.leaving]
        users = [r for r in users if r.uid in self.plugin.disk.specs and FOLDERS / r.domain == path]
        if users:
            self.broken.append(f"{path} is removed under {users}")

    def may_go(self, record):
        """Asked at the very moment: the node is this domain's, for this claim, and the roster says ready."""
        node = now(self.little.hands.get(kinds.NODES, NODE))
        if node.metadata.labels.get(names.DOMAIN_LABEL) != record.domain:
            return False
        try:
            roster = now(self.little.hands.get(kinds.ROSTERS, names.roster_name(record.domain, record.clique), OWN))
        except NotFound:
            return False
        entry = roster.entry(NODE)
        return roster.formed and entry is not None and entry.status == "Ready" and entry.claim == record.uid

    @invariant()
    def one_channel_claim_at_a_time(self):
        held = [record.uid for record in self.plugin.disk.records.values() if record.kind == "channel"]
        assert len(held) <= 1, f"channel 0 is held by {held}"

    @invariant()
    def nothing_without_its_record(self):
        """What is exposed or labelled has a record to be released by."""
        records = self.plugin.disk.records
        assert set(self.plugin.disk.specs) <= set(records), "a CDI file without a record"
        if self.label() and not self.strange:
            assert self.label() in {r.domain for r in records.values() if r.kind == "channel"}, (
                "a label without a record"
            )

    @invariant()
    def a_strangers_label_stays(self):
        if self.strange:
            assert self.label() == self.stranger.metadata.uid, "the label of another owner was touched"

    @invariant()
    def what_is_prepared_is_there(self):
        disk = self.plugin.disk
        for uid, record in disk.records.items():
            told = self.plugin.told(uid, record.kind)
            if told is None or told.word != "Prepared" or record.leaving or not told.holds("wanted"):
                continue
            assert uid in disk.specs, f"{uid} is called prepared and has no CDI file"
            if record.kind == "daemon":
                assert FOLDERS / record.domain / "domain.json" in disk.files, f"{uid} has lost its folder"
            assert record.kind == "daemon" or record.released, f"{uid} is called prepared and was never let go"

    # And in the end.

    def calm(self):
        self.plugin.cluster.blind.clear()
        self.plugin.looks(reading())
        if self.strange:
            self.the_stranger_leaves()
        self.passes(100)

    def converged(self):
        wanted = [uid for uid in CHANNELS if self.plugin.call(uid) and self.plugin.call(uid).wanted]
        for uid in wanted:
            self.waits_for_a_reason(uid)
        for uid in (*CHANNELS, *DAEMONS):
            if self.known(uid):
                self.plugin.lets_go(uid, "channel" if uid in CHANNELS else "daemon")
        self.passes(200)
        for uid in (*CHANNELS, *DAEMONS):
            self.plugin.is_told_so(uid)
        assert self.plugin.left == {}, "something is left on the node"
        assert self.label() == "", "the node is not given back"
        assert self.plugin.engine.cells == {}, "something is left in memory"
        self.next_is_served()

    def waits_for_a_reason(self, uid):
        told = self.plugin.told(uid)
        assert told is not None
        if told.word != "Prepared":
            assert told.waiting_for or told.troubles, f"{uid} waits in {told.leaf.name} and does not say for what"

    def next_is_served(self):
        """After all that, a worker is served as on the first day."""
        uid = self.domains["two"].metadata.uid
        if now(self.little.seen(self.domains["two"])) is None:
            return
        self.plugin.wants("last", uid)
        self.passes(10)
        self.run(self.little.no_daemon(NODE))
        self.run(self.little.daemon(NODE, uid))
        self.passes(30)
        told = self.plugin.told("last")
        assert told.word == "Prepared", f"{told.leaf.name}: {told.waiting_for} {told.troubles}"
        assert self.plugin.engine.store.get(RECORDS, "last").clique == CLIQUE

    def label(self):
        return now(self.little.hands.get(kinds.NODES, NODE)).metadata.labels.get(names.DOMAIN_LABEL, "")
