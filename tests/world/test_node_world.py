"""channel-claim and daemon-claim in a closed loop: safe at every step, nothing left in the end; and mutants are caught."""

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from nvdra.core.findings import Fact, Finding
from nvdra.domains.channel_claim import facts as channel_facts
from nvdra.domains.channel_claim import label
from nvdra.domains.channel_claim import things as channel
from nvdra.domains.daemon_claim import facts as daemon_facts
from nvdra.domains.daemon_claim import things as daemon
from tests.world.machines import tell
from tests.world.node_world import NodeWorld

BUDGET = settings(max_examples=25, stateful_step_count=25)


def test_safe_and_nothing_left():
    """Whatever the kubelet, the disk and the API server do: one claim at a time, nobody let go too early, all swept."""
    run_state_machine_as_test(NodeWorld, settings=BUDGET)


def _always(patch, facts, name, holds=True):
    fact = facts.by_name[name]
    patch.setitem(facts.by_name, name, Fact(name, fact.sentence, lambda _: Finding(holds, "so it seems")))


async def _nothing(*_):
    return None


def believes_its_eyes(patch):
    """channel-claim: lets the worker go without a live look."""

    async def present(self, seen):
        record = evolve(seen.record, released=True)
        self.ports.records.put(record)
        self.ports.store.put(channel.RECORDS, record)

    patch.setattr(channel.Release, "present", present)


def waits_for_nobody(patch):
    """channel-claim: takes every domain for ready."""
    believes_its_eyes(patch)
    _always(patch, channel_facts.FACTS, "domain_ready")


def shares_the_channel(patch):
    """channel-claim: finds every node vacant."""
    _always(patch, channel_facts.FACTS, "vacant")
    patch.setattr(channel, "vacancy", lambda *_: Finding(True))


def keeps_the_label(patch):
    """channel-claim: takes a node for given back."""
    patch.setattr(label.NodeLabel, "absent", _nothing)
    kept = channel_facts.FACTS.by_name["joined"]

    def of(seen):
        leaving = seen.record is not None and seen.record.leaving
        return Finding(False, "gone") if leaving else kept.of(seen)

    patch.setitem(channel_facts.FACTS.by_name, "joined", Fact("joined", kept.sentence, of))


def labels_by_force(patch):
    """channel-claim: takes the node whoever's it is."""

    async def present(self, seen):
        if seen.record is not None:
            labels = {"resource.nvidia.com/computeDomain": seen.record.domain}
            patch_ = {"metadata": {"labels": labels}}
            self.store.learn(label.kinds.NODES, await self.cluster.patch(label.kinds.NODES, seen.node_name, patch_))

    patch.setattr(label.NodeLabel, "present", present)


def writes_down_afterwards(patch):
    """daemon-claim: takes the record for written before it is."""
    _always(patch, daemon_facts.FACTS, "recorded")
    kept = daemon.CdiFile.present

    async def present(self, seen):
        record = seen.record or (evolve_call(seen) if seen.call else None)
        await kept(self, evolve(seen, record=record))

    def evolve_call(seen):
        call = seen.call
        return daemon.ClaimRecord(call.uid, call.namespace, call.name, "daemon", call.domain, call.domain_name)

    patch.setattr(daemon.CdiFile, "present", present)
    _always(patch, daemon_facts.FACTS, "staged")


def takes_the_shared_folder(patch):
    """daemon-claim: removes the folder under the domain's other daemon."""
    kept, taken = daemon.Folder.absent, set()
    sentence = daemon_facts.FACTS.by_name["unstaged"].sentence
    once = Fact("unstaged", sentence, lambda seen: Finding(seen.uid in taken))
    patch.setitem(daemon_facts.FACTS.by_name, "unstaged", once)

    async def absent(self, seen):
        taken.add(seen.uid)
        await kept(self, evolve(seen, shared=False))

    patch.setattr(daemon.Folder, "absent", absent)


def leaves_the_cdi_file(patch):
    """daemon-claim: forgets the claim with its file still there."""
    patch.setattr(daemon.CdiFile, "absent", _nothing)
    kept = daemon_facts.FACTS.by_name["exposed"]

    def of(seen):
        leaving = seen.record is not None and seen.record.leaving
        return Finding(False) if leaving else kept.of(seen)

    patch.setitem(daemon_facts.FACTS.by_name, "exposed", Fact("exposed", kept.sentence, of))


def ready_for_a_moment(world):
    world.ready_for_a_moment("a", "two")


def a_wait(world):
    world.wants("a", "two")
    world.passes(3)


def two_at_once(world):
    world.wants("a", "one")
    world.wants("b", "one")
    for _ in range(30):
        world.passes(0)


def a_worker(world):
    world.a_worker_runs("a", "one")


def a_stranger_is_faster(world):
    world.refused.add(("record",))
    world.wants("a", "one")
    world.passes(0.1)
    world.a_stranger_labels_the_node()
    world.refused.clear()
    world.passes(5)


def a_full_disk(world):
    world.refused.add(("record",))
    world.wants_a_daemon("old", "one")
    world.passes(2)


def a_daemons_successor(world):
    for uid in ("old", "new"):
        world.wants_a_daemon(uid, "one")
        world.passes(2)
    world.lets_a_daemon_go("old")
    world.passes(2)


MUTANTS = {
    believes_its_eyes: ready_for_a_moment,
    waits_for_nobody: a_wait,
    shares_the_channel: two_at_once,
    keeps_the_label: a_worker,
    labels_by_force: a_stranger_is_faster,
    writes_down_afterwards: a_full_disk,
    takes_the_shared_folder: a_daemons_successor,
    leaves_the_cdi_file: a_daemons_successor,
}


@pytest.mark.parametrize("story", dict.fromkeys(MUTANTS.values()))
def test_a_story_ends_well(story):
    """The stories that mutants fail in are harmless to the plugin that we ship."""
    tell(NodeWorld, story)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_caught(mutant, monkeypatch):
    """A plugin with a deliberate defect does not get through its story."""
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        tell(NodeWorld, MUTANTS[mutant])
