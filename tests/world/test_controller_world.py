"""compute-domain and imex-domain in a closed loop: safe at every step, converged in the end; and mutants are caught."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from nvdra.core.findings import Fact, Finding
from nvdra.domains.compute_domain import facts, labels, things
from nvdra.domains.imex_domain import roster
from tests.builders import CLIQUE
from tests.world.controller_world import ControllerWorld
from tests.world.machines import tell

BUDGET = settings(max_examples=30, stateful_step_count=25)


def test_safe_and_converging():
    """Whatever happens: no finalizer too early, no index moved or doubled, no living label taken, all ends well."""
    run_state_machine_as_test(ControllerWorld, settings=BUDGET)


async def _nothing(*_):
    return None


def releases_without_looking(patch):
    """compute-domain: lets the object go without asking what is left, and does not count nodes."""
    patch.setattr(things.Finalizer, "_nothing_left", _nothing)
    fact = facts.FACTS.by_name["drained"]
    patch.setitem(
        facts.FACTS.by_name, "drained", Fact("drained", fact.sentence, lambda seen: Finding(not seen.daemon_sets))
    )


def forgets_that_it_formed(patch):
    """compute-domain: has no latch."""
    patch.setattr(facts, "remembered", lambda _: False)


def strips_by_eyesight(patch):
    """compute-domain: takes labels back whoever's they are."""

    async def take(cluster, node, uid):
        off = {"resource.nvidia.com/computeDomain": None, "resource.nvidia.com/computeDomain.cliqueID": None}
        await cluster.patch(things.kinds.NODES, node, {"metadata": {"labels": off}})

    patch.setattr(labels, "take_label", take)


def leaves_labels(patch):
    """compute-domain: never gives nodes back."""
    patch.setattr(things.NodeLabels, "absent", _nothing)


def forgets_retired(patch):
    """imex-domain: gives an index that was left to the next one."""
    patch.setattr(roster._Book, "retire", lambda self, gone, _: [self.held.pop(name) for name in gone])


def forgets_the_status(patch):
    """imex-domain: makes a lost roster from nothing."""
    kept = roster._Book.of.__func__

    def of(cls, seen, limit):
        return kept(cls, seen, limit) if seen.roster is not None else cls(limit, {}, {})

    patch.setattr(roster._Book, "of", classmethod(of))


def counts_from_zero(patch):
    """imex-domain: an index is the place in the list of those who are here."""

    def give(self, name):
        self.held[name] = len(self.held) if name not in self.held else self.held[name]

    patch.setattr(roster._Book, "give", give)


def a_label_that_cannot_be_taken(world):
    world.a_job_runs("one", ["node-0"], 0)
    world.refused.add(("patch", "nodes"))
    world.delete("one")
    world.passes(5)


def a_daemon_that_fails_later(world):
    world.a_job_runs("two", ["node-0", "node-1"], 0)
    world.formed_stays_formed()
    world.a_daemon_fails("two")


def a_node_that_is_anothers_already(world):
    world.a_job_runs("one", ["node-0"], 0)
    world.a_node_moves_unseen("node-1", "one", "two")


def an_end(world):
    world.a_job_runs("one", ["node-0", "plain-4"], 0)
    world.delete("one")


def a_successor(world):
    world.a_job_runs("one", ["node-0", "node-1"], 0)
    world.no_index_twice_nor_moved()
    world.a_job_ends("one", {"node-0"}, 2)
    world.a_job_runs("one", ["node-2"], 0)


def a_roster_deleted(world):
    world.a_job_runs("one", ["node-2", "node-0"], 1.5)
    world.no_index_twice_nor_moved()
    world.passes(5)
    world.somebody_deletes_a_roster(CLIQUE, "one")
    world.passes(5)


MUTANTS = {
    releases_without_looking: a_label_that_cannot_be_taken,
    forgets_that_it_formed: a_daemon_that_fails_later,
    strips_by_eyesight: a_node_that_is_anothers_already,
    leaves_labels: an_end,
    forgets_retired: a_successor,
    forgets_the_status: a_roster_deleted,
    counts_from_zero: a_successor,
}


@pytest.mark.parametrize("story", dict.fromkeys(MUTANTS.values()))
def test_a_story_ends_well(story):
    """The stories that mutants fail in are harmless to the controller that we ship."""
    tell(ControllerWorld, story)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_caught(mutant, monkeypatch):
    """A controller with a deliberate defect does not get through its story."""
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        tell(ControllerWorld, MUTANTS[mutant])
