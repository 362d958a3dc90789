"""Reasons for people."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvdra.adapters.kube.events import sameness
from nvdra.domains.imex_daemon.symptoms import Ended, Symptom, crash_loop, symptom_of, unreachable, waiting_for
from nvdra.domains.imex_daemon.views import DomainView, ImexNode
from nvdra.ports import Exit

LOG = "[Mar 27 2025 15:47:10] [ERROR] [tid 39] "
PEERS = {0: "node-a", 1: "node-b", 2: "node-c", 3: "node-d", 4: "node-e"}


def a_view(row: dict[int, str]) -> DomainView:
    nodes = {index: ImexNode(index, "READY", connections=row if index == 0 else {}) for index in row}
    return DomainView("DEGRADED", nodes)


@pytest.mark.parametrize(
    ("line", "reason", "words"),
    [
        ("Failed to bind 10.1.2.3:50000: Address already in use", "PortInUse", "port 50000 in use"),
        ("bind: [fd00::1]:50005 Address already in use", "PortInUse", "port 50005 in use"),
        ("Address already in use", "PortInUse", "50000 between nodes"),
        ("Address already in use, port=50000", "PortInUse", "port 50000 in use"),
        ("NV_ERR_IN_USE Failed to allocate Imex session", "ImexSessionInUse", "nvidia-imex.service running"),
        ("NvGpu Library version mismatch with GPU Driver version", "VersionMismatch", "version mismatch"),
        ("Unable to identify this node: no line is 10.1.1.1", "OwnNodeNotListed", "address is not behind"),
        ("nvidia-imex: error while loading shared libraries: libnvgpu.so.1: cannot open", "LibraryMissing", "libnvgpu.so.1"),
        ("Failed to open /dev/nvidiactl", "DriverNotUsable", "/dev/nvidiactl"),
        ("Something else", "ImexExited", "exited with code 1; last line: Something else$"),
    ],
)  # fmt: skip
def test_last_lines_are_recognised(line, reason, words):
    """A known line gives its reason, wherever among the last ones it stands; else the exit code does."""
    for tail in ((LOG + "Starting", LOG + line), (LOG + line, "")):
        seen = symptom_of(Exit(1, tail))
        assert seen.reason == reason
        assert re.search(words, seen.text)


@pytest.mark.parametrize(
    "line", ["boom", "driver and library API mismatch", "Failed to open /dev/nvidiactl", "", "[x]"]
)
@given(st.datetimes(), st.integers(1, 99999), st.floats(0, 250), st.floats(0, 50))
def test_the_same_end_has_the_same_words(line, when, thread, now, apart):
    """Neither the log's time and thread nor the second at which we look make another reason of the same."""
    stamp = f"[{when:%b %d %Y %H:%M:%S}] [ERROR] [tid {thread}] "
    assert symptom_of(Exit(1, (stamp + line,))) == symptom_of(Exit(1, (LOG + line,)))
    ends = [Ended(at * apart, Exit(1, (LOG + line,))) for at in range(4)]
    assert crash_loop(ends, 3 * apart + now / 10) == crash_loop(ends, 3 * apart)
    longer = [*ends, Ended(3 * apart + 1, Exit(1, (stamp + line,)))]
    one, more = crash_loop(ends, 3 * apart), crash_loop(longer, 3 * apart + 1)
    assert one is not None
    assert more is not None
    assert sameness(one.text) == sameness(more.text)


def test_a_signal_is_named():
    """Death by signal is told apart from an exit code."""
    assert symptom_of(Exit(-9)) == Symptom("ImexExited", "nvidia-imex was killed by signal 9")


def test_a_crash_loop_counts_and_quotes():
    """Four ends in two minutes are one sentence; old ends do not count; two are no loop."""
    ends = [Ended(at, Exit(1, ("boom",))) for at in (-900.0, 0.0, 40.0, 80.0, 120.0)]
    assert crash_loop(ends, 120.0) == Symptom(
        "CrashLoop",
        "nvidia-imex exited with code 1 4 times in 2 min; last line: boom; more is in the log of this daemon's pod",
    )
    assert crash_loop(ends[:3], 40.0) is None


def test_a_crash_loop_keeps_a_known_reason():
    """Why it ends says more than that it does so again."""
    ends = [Ended(at, Exit(1, ("bind 10.0.0.1:50000: Address already in use",))) for at in (0.0, 10.0, 20.0)]
    assert crash_loop(ends, 20.0) == Symptom(
        "PortInUse",
        "port 50000 in use: see who listens there (ss -ltnp on the node) and stop it (ended 3 times in 20 s)",
    )


def test_waiting_for_former_importers_names_them():
    """After an unclean stop it says which members it is not connected to."""
    seen = waiting_for("WAITING_FOR_RECOVERY", a_view({0: "C", 1: "N", 2: "R", 3: "C", 4: "C"}), 0, PEERS)
    assert seen is not None
    assert seen.reason == "WaitingForRecovery"
    assert "waits for former importers: node-b, node-c; it goes on when they are back" in seen.text


def test_unreachable_peers_are_named_with_what_is_wrong():
    """Three are named, the rest is counted, empty slots and oneself do not count."""
    seen = unreachable(a_view({0: "C", 1: "N", 2: "D", 3: "I", 4: "V", 17: "N"}), 0, PEERS)
    assert seen == Symptom(
        "PeersUnreachable",
        "not connected to 4 of 4 peers: node-b (never connected), node-c (connection lost), "
        "node-d (not reachable) and 1 more; "
        "do network policies or a firewall block port 50000 between these nodes?",
    )


def test_a_version_mix_has_its_own_reason():
    """When versions alone part them, that is the reason."""
    seen = unreachable(a_view({0: "C", 1: "V", 2: "C", 3: "C", 4: "C"}), 0, PEERS)
    assert seen == Symptom(
        "PeersOfOtherVersion",
        "not connected to 1 of 4 peers: node-b (runs another version); "
        "install the same driver and IMEX package on all nodes of the clique",
    )


def test_all_is_well_is_no_symptom():
    """READY and fully connected needs no words, and what is not known is not claimed."""
    assert waiting_for("READY", None, 0, PEERS) is None
    assert unreachable(a_view(dict.fromkeys(PEERS, "C")), 0, PEERS) is None
    assert unreachable(None, 0, PEERS) is None


@given(st.text(max_size=30), st.integers(-64, 255), st.lists(st.text(max_size=40), max_size=5))
def test_there_are_always_words(state, code, tail):
    """Any state, code and output has a sentence."""
    assert symptom_of(Exit(code, tuple(tail))).text
    assert waiting_for(state, None, 0, PEERS) is not None or state == "READY"
