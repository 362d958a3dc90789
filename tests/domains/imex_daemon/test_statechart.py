"""imex-daemon.yaml: its laws, its binding, and where each moment of a life leads."""

import attrs
import pytest
from msgspec.structs import replace

from nvdra import loader
from nvdra.adapters.files import DiskFiles
from nvdra.api.computedomain import RosterEntry
from nvdra.apps import statecharts
from nvdra.core.findings import Finding, holding
from nvdra.core.laws import check
from nvdra.core.table import compile_table
from nvdra.domains.imex_daemon.config import ImexSettings, imex_config
from nvdra.domains.imex_daemon.facts import FACTS, strangers
from nvdra.domains.imex_daemon.files import addresses_of, wanted_hosts, wanted_nodes
from nvdra.domains.imex_daemon.snapshot import Disk, ImexDaemonSnapshot, Life, Reading, Sight
from nvdra.domains.imex_daemon.symptoms import Ended
from nvdra.domains.imex_daemon.things import things
from nvdra.domains.imex_daemon.views import DomainView, ImexNode
from nvdra.engine.domain import Domain
from nvdra.errors import Refused
from nvdra.ports import Exit
from tests.domains.imex_daemon.imex_world import ADDRESS, WHO, a_roster

CHART = loader.load(statecharts.shipped() / "imex-daemon.yaml")
INTERPRETER = statecharts.interpreter("imex-daemon")
IDENTITY = attrs.evolve(WHO, config=imex_config(ImexSettings(ADDRESS)))
BEGIN = ImexDaemonSnapshot(IDENTITY, 100.0)


def _configured(seen: ImexDaemonSnapshot) -> ImexDaemonSnapshot:
    disk = Disk(seen.identity.config, wanted_nodes(seen), wanted_hosts(seen, b""))
    return attrs.evolve(seen, disk=disk)


LISTED = attrs.evolve(BEGIN, roster=a_roster(ADDRESS, "10.0.0.2", ready=True))
CONFIGURED = _configured(LISTED)
RUNNING = attrs.evolve(CONFIGURED, life=Life(running=True, number=1, index=0, began=99.0, told=addresses_of(LISTED)))
READY = attrs.evolve(RUNNING, reading=Reading(1, "READY", 99.0))
ENDED = Life(number=1, ends=(Ended(99.0, Exit(1)),), failures=1, due=100.0)
CRASHING = attrs.evolve(CONFIGURED, life=attrs.evolve(ENDED, ends=ENDED.ends * 3))
MOMENTS = {
    "Idle": attrs.evolve(BEGIN, identity=attrs.evolve(IDENTITY, clique="")),
    "Preparing.Joining": BEGIN,
    "Preparing.Configuring": LISTED,
    "Running.Starting": CONFIGURED,
    "Running.Failing": CRASHING,
    "Running.Settling": RUNNING,
    "Running.Ready": READY,
    "Faulted": attrs.evolve(READY, roster=a_roster("10.0.0.2", ADDRESS, own=1)),
    "Stopping.Ending": attrs.evolve(READY, stopping=True),
    "Stopping.Stopped": attrs.evolve(CONFIGURED, stopping=True),
}


def _facts(seen: ImexDaemonSnapshot) -> frozenset[str]:
    return holding(FACTS.findings(seen))


def test_the_statechart_keeps_every_law_and_fits_its_domain():
    """Facts, sentences and things are the same on both sides, and every set of facts settles where it should."""
    table = compile_table(CHART.statechart)
    handlers = things(None)  # type: ignore[arg-type]  # only the names matter here
    assert [CHART.said(fault) for fault in check(table, FACTS.by_name, handlers)] == []
    Domain("imex-daemon", INTERPRETER, FACTS, handlers, lambda *_: BEGIN)
    assert set(MOMENTS) == set(table.leaves)


@pytest.mark.parametrize("leaf", MOMENTS)
def test_each_moment_has_its_leaf_also_after_a_restart(leaf):
    """From nothing and from wherever one was before, the same snapshot leads to the same leaf."""
    facts = _facts(MOMENTS[leaf])
    assert INTERPRETER.settle(None, facts).leaf.name == leaf
    assert {INTERPRETER.settle(before, facts).leaf.name for before in MOMENTS} == {leaf}


def test_a_running_imex_survives_a_roster_that_lost_this_node():
    """Without an entry, or without any roster, it stays ready where it is."""
    for roster in (None, a_roster("", "10.0.0.2")):
        assert (
            INTERPRETER.settle("Running.Ready", _facts(attrs.evolve(READY, roster=roster))).leaf.name == "Running.Ready"
        )


def test_unconnected_ready_peers_are_named_without_unreadiness():
    """Readiness is local; who cannot be reached is a reason beside it. Peers that are not ready are not missed."""
    view = DomainView("DEGRADED", {0: ImexNode(0, "READY", connections={0: "C", 1: "D", 2: "N"})})
    seen = attrs.evolve(READY, sight=Sight(1, view))
    assert strangers(seen).startswith("not connected to 1 of 1 peers: node-8 (connection lost); ")
    assert "ready" in _facts(seen)
    assert strangers(attrs.evolve(seen, roster=a_roster(ADDRESS, "10.0.0.2"))) == ""


def test_a_node_that_got_no_index_says_so():
    """An entry with the index -1 carries the controller's message, or the number of places."""
    entry = RosterEntry("node-0", ADDRESS, "c.1", -1, message="all 4 indices are in use")
    for given, said in ((entry, "all 4 indices are in use"), (replace(entry, message=""), "all 4 may be in use")):
        seen = attrs.evolve(BEGIN, roster=replace(a_roster(ADDRESS), daemons=(given,)))
        assert FACTS.findings(seen)["listed"].because == f"node-0 has no index in its IMEX domain: {said}"


def test_a_tool_that_cannot_be_run_is_the_reason():
    """nvidia-imex runs but nvidia-imex-ctl is missing: readiness is not known, and why is said."""
    seen = attrs.evolve(RUNNING, reading=Reading(1, "NO_ANSWER", trouble="nvidia-imex-ctl: no such program"))
    assert FACTS.findings(seen)["ready"] == Finding(False, "nvidia-imex-ctl: no such program")


def test_answers_of_an_earlier_instance_do_not_count():
    """A new nvidia-imex is not ready because the old one was."""
    assert "ready" not in _facts(attrs.evolve(READY, life=attrs.evolve(READY.life, number=2)))


def test_ipv6_addresses_are_compared_as_addresses():
    """Another spelling of the pod's address is the pod's address; any of its addresses will do."""
    who = attrs.evolve(IDENTITY, addresses=("10.0.0.1", "fd00::1"))
    assert "listed" in _facts(attrs.evolve(BEGIN, identity=who, roster=a_roster("FD00:0:0::1")))
    assert "listed" not in _facts(attrs.evolve(BEGIN, identity=who, roster=a_roster("fd00::2")))
    assert "listed" not in _facts(attrs.evolve(BEGIN, identity=who, roster=a_roster("no address")))


def test_an_old_driver_gets_fixed_addresses_or_a_refusal():
    """Before 570.158.01: no names in the hosts file, all numNodes addresses in the list, and a reason until then."""
    who = attrs.evolve(IDENTITY, driver="570.124.06", wanted=2)
    seen = attrs.evolve(BEGIN, identity=who, roster=a_roster(ADDRESS, "10.0.0.2"))
    assert (wanted_nodes(seen), wanted_hosts(seen, b"x\n"), dict(addresses_of(seen))) == (
        b"10.0.0.1\n10.0.0.2\n", b"x\n", {},
    )  # fmt: skip
    with pytest.raises(Refused, match="not known yet: index 1"):
        wanted_nodes(attrs.evolve(seen, roster=a_roster(ADDRESS)))
    with pytest.raises(Refused, match="set numNodes"):
        wanted_nodes(attrs.evolve(seen, identity=attrs.evolve(who, wanted=0)))
    assert "older than 570.158.01" in FACTS.findings(attrs.evolve(seen, roster=a_roster(ADDRESS)))["configured"].because


def test_the_list_of_names_is_the_same_on_every_node_and_never_changes(tmp_path):
    """It depends on domain, clique and the number of lines only; empty slots are at the sentinel."""
    lists = {
        wanted_nodes(attrs.evolve(BEGIN, roster=roster)) for roster in (None, a_roster(ADDRESS), a_roster("", "x"))
    }
    assert len(lists) == 1
    assert len(lists.pop().splitlines()) == WHO.slots
    DiskFiles().write(tmp_path / "hosts", wanted_hosts(LISTED, None) or b"")
    text = (tmp_path / "hosts").read_text()
    assert [text.count(f"\n{address}\t") for address in ("10.0.0.1", "10.0.0.2", "127.0.0.2")] == [1, 1, 2]
