"""compute-domain and imex-domain in a closed loop: safe at every step, converged in the end; and mutants are caught."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from nvdra.core.findings import Fact, Finding
from nvdra.domains.compute_domain import facts, things
from nvdra.domains.imex_domain import roster
from tests.world.controller_world import ControllerWorld

BUDGET = settings(max_examples=30, stateful_step_count=25)
# a mutant need only be caught: its story is not told, so it is not shortened either
HUNT = settings(max_examples=150, stateful_step_count=25, phases=[Phase.generate], report_multiple_bugs=False)


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
        labels = {"resource.nvidia.com/computeDomain": None, "resource.nvidia.com/computeDomain.cliqueID": None}
        await cluster.patch(things.kinds.NODES, node, {"metadata": {"labels": labels}})

    patch.setattr(things, "take_label", take)


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


@pytest.mark.parametrize(
    "mutant",
    [
        releases_without_looking,
        forgets_that_it_formed,
        strips_by_eyesight,
        leaves_labels,
        forgets_retired,
        forgets_the_status,
        counts_from_zero,
    ],
)
def test_a_mutant_is_caught(mutant, monkeypatch):
    """A controller with a deliberate defect does not get through the loop."""
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(ControllerWorld, settings=HUNT)
