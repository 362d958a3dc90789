"""channel-claim and daemon-claim in a closed loop: safe at every step, nothing left in the end; and mutants are caught."""

import pytest
from attrs import evolve
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from nvdra.core.findings import Fact, Finding
from nvdra.domains.channel_claim import facts as channel_facts
from nvdra.domains.channel_claim import label
from nvdra.domains.channel_claim import things as channel
from nvdra.domains.daemon_claim import facts as daemon_facts
from nvdra.domains.daemon_claim import things as daemon
from tests.world.node_world import NodeWorld

BUDGET = settings(max_examples=40, stateful_step_count=25)
HUNT = settings(max_examples=150, stateful_step_count=25, phases=[Phase.generate], report_multiple_bugs=False)


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
    kept = daemon.Folder.absent
    _always(patch, daemon_facts.FACTS, "unstaged", holds=False)

    async def absent(self, seen):
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


@pytest.mark.parametrize(
    "mutant",
    [
        believes_its_eyes,
        waits_for_nobody,
        shares_the_channel,
        keeps_the_label,
        labels_by_force,
        writes_down_afterwards,
        takes_the_shared_folder,
        leaves_the_cdi_file,
    ],
)
def test_a_mutant_is_caught(mutant, monkeypatch):
    """A plugin with a deliberate defect does not get through the loop."""
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(NodeWorld, settings=HUNT)
