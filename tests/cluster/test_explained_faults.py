"""The faults of the table, on real nodes: `kubectl describe` and `nvdra explain` name each, and what to do, as on the rack."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

import pytest

from nvdra.explain.faults import FAULTS, Fault
from tests.cluster import installation
from tests.cluster.bed.cluster import Cluster
from tests.cluster.bed.layout import Node
from tests.cluster.explained.cases import Case, Injection, tried
from tests.cluster.explained.everywhere import INJECTIONS
from tests.cluster.view import User, until

ONLY = os.environ.get("NVDRA_FAULTS", "").split()
"""Names of faults, for who works on one."""


def test_every_fault_that_the_bed_can_play_is_played():
    """The table says why of those that are not."""
    assert {fault.name for fault in FAULTS if not fault.rack_only} == set(INJECTIONS)


@pytest.mark.cluster
@pytest.mark.usefixtures("driver")
def test_faults_of_one_node_are_named(bed: Cluster, user: User, all_gone: Callable[[], None]) -> None:
    """One after the other on each node, both nodes at once; each within ten seconds."""
    waiting: SimpleQueue[Fault] = SimpleQueue()
    for fault in chosen(lambda injection: injection.nodes < len(bed.layout.all_nodes) and not injection.everywhere):
        waiting.put(fault)

    def lane(node: Node) -> list[str]:
        wrong: list[str] = []
        while True:
            try:
                fault = waiting.get_nowait()
            except Empty:
                return wrong
            wrong += tried(Case(bed, user, fault, (node,)), INJECTIONS[fault.name])

    with ThreadPoolExecutor() as threads:
        wrong = [text for texts in threads.map(lane, bed.layout.all_nodes) for text in texts]
    assert wrong == []
    all_gone()


@pytest.mark.cluster
@pytest.mark.usefixtures("driver")
def test_faults_of_more_are_named(bed: Cluster, user: User, all_gone: Callable[[], None]) -> None:
    """Of two nodes, and of all of the driver, one after the other; each within ten seconds."""
    faults = chosen(lambda injection: injection.nodes == len(bed.layout.all_nodes) or injection.everywhere)
    wrong: list[str] = []
    for fault in faults:
        injection = INJECTIONS[fault.name]
        wrong += tried(Case(bed, user, fault, bed.layout.all_nodes[: injection.nodes]), injection)
    assert wrong == []
    all_gone()
    until("the driver is ready", lambda: installation.ready(user), 60)


def chosen(fits: Callable[[Injection], bool]) -> list[Fault]:
    """Of those that can be played here."""
    there = [fault for fault in FAULTS if fault.name in INJECTIONS and fits(INJECTIONS[fault.name])]
    return [fault for fault in there if not ONLY or fault.name in ONLY]
