"""What nvidia-imex's end, its last lines and its state mean, in words for people. Pure and table-driven."""

import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Final

from attrs import field, frozen

from nvdra.domains.imex_daemon.views import READY, DomainView
from nvdra.ports import Exit


@frozen
class Symptom:
    """A reason (CamelCase, for machines) and a sentence (for people)."""

    reason: str
    text: str


@frozen
class Ended:
    """A child that ended at `at`, a second of the clock that the caller uses."""

    at: float
    exit: Exit


_Match = re.Match[str]


def _compiled(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


@frozen
class _Rule:
    pattern: re.Pattern[str] = field(converter=_compiled)
    reason: str
    sentence: Callable[[_Match], str]


def _port(found: _Match) -> str:
    number = found["port"] or found["port2"]
    which = f"port {number} in use" if number else "one of its ports in use (50000 between nodes, 50005 for commands)"
    return f"{which}: see who listens there (ss -ltnp on the node) and stop it"


_RULES: Final = (
    _Rule(
        r"NV_ERR_IN_USE|failed to allocate imex session",
        "ImexSessionInUse",
        lambda _: (
            "another IMEX session is active on this node (NV_ERR_IN_USE): is the host's nvidia-imex.service running?"
            " Disable and mask it; a previous daemon that is still stopping clears by itself"
        ),
    ),
    _Rule(
        r"^(?=.*address already in use)(?:.*?(?:\bport\s*[=:]?\s*(?P<port>\d+)|[\]\d.]:(?P<port2>\d{4,5})\b))?",
        "PortInUse",
        _port,
    ),
    _Rule(
        r"version (?:mismatch|does not match|not matched).*|.*(?:driver|api) mismatch.*",
        "VersionMismatch",
        lambda found: f"IMEX and the driver, or two nodes, have different versions: {found[0].strip()}",
    ),
    _Rule(
        r"(?:nodes? config|node map|configuration of nodes).*(?:mismatch|differ).*",
        "NodesFileDiffers",
        lambda found: f"a peer has another list of nodes, so IMEX refuses to work with it: {found[0].strip()}",
    ),
    _Rule(
        r"unable to (?:identify|find|determine) (?:this|local) node.*",
        "OwnNodeNotListed",
        lambda _: "IMEX does not find this node in its list of nodes: the pod's address is not behind any of its names",
    ),
    _Rule(
        r"error while loading shared libraries: (?P<library>[^:\s]+)",
        "LibraryMissing",
        lambda found: f"{found['library']} is missing: are the driver's libraries injected into this container?",
    ),
    _Rule(
        r"(?:failed|unable|error).*(?:open|load|init\w*).*(?:libnvidia|nvgpu|gpu library|/dev/nvidia\S*).*",
        "DriverNotUsable",
        lambda found: f"IMEX cannot use the driver: {found[0].strip()}",
    ),
)

_LETTER_SENTENCES: Final = {
    "N": "never connected",
    "R": "connection being recovered",
    "D": "connection lost",
    "I": "not reachable",
    "V": "runs another version",
    "!": "refuses our authentication",
    "?": "state not known",
}
_WAY_OUT: Final = {
    "WaitingForRecovery": "it goes on when they are back; if they are gone for good, delete this daemon's pod",
    "PeersOfOtherVersion": "install the same driver and IMEX package on all nodes of the clique",
    "PeersUnreachable": "do network policies or a firewall block port 50000 between these nodes?",
}
_WAITING: Final = {
    "INITIALIZING": ("Starting", "IMEX is starting"),
    "STARTING_AUTH_SERVER": ("Starting", "IMEX is starting its authentication"),
    "WAITING_FOR_PEERS": ("WaitingForPeers", "IMEX waits for all of its peers (IMEX_WAIT_FOR_QUORUM=FULL)"),
    "WAITING_FOR_RECOVERY": (
        "WaitingForRecovery",
        "IMEX was stopped uncleanly before and waits for former importers",
    ),
    "INIT_GPU": ("Starting", "IMEX is taking over the GPUs"),
    "SHUTTING_DOWN": ("Stopping", "IMEX is shutting down"),
    "UNAVAILABLE": ("NotServing", "IMEX does not answer its command port yet"),
    "NO_ANSWER": ("NoAnswer", "nvidia-imex-ctl did not answer in time"),
}
_PREFIX: Final = re.compile(r"\s*(?:\[[^\]]*\]\s+)+")
_MORE: Final = "; more is in the log of this daemon's pod"
_LOOP: Final = 3
"""This many ends within the window are a loop."""
_NAMED: Final = 3
"""This many peers are named before the rest is counted."""


def symptom_of(exit_: Exit) -> Symptom:
    """Why the child ended, by its last lines (newest first), else by its exit code."""
    for line in reversed(exit_.tail):
        for rule in _RULES:
            found = rule.pattern.search(_said(line))
            if found:
                return Symptom(rule.reason, rule.sentence(found))
    return Symptom("ImexExited", f"nvidia-imex {_how(exit_)}{_last_line(exit_)}")


def crash_loop(ends: Sequence[Ended], now: float, window: float = 300.0) -> Symptom | None:
    """The sentence for a child that ended again and again within `window` seconds; None when it did not.

    A known symptom keeps its own reason: "port 50000 in use" says more than "crash loop".
    """
    recent = [end for end in ends if now - end.at <= window]
    if len(recent) < _LOOP:
        return None
    last = recent[-1].exit
    same = len(list(takewhile(lambda end: end.exit.code == last.code, reversed(recent))))
    known = symptom_of(last)
    end = recent[-1].at  # not now: a text that changes by the second would be told by the second
    if known.reason != "ImexExited":
        return Symptom(known.reason, f"{known.text} (ended {len(recent)} times in {_span(end - recent[0].at)})")
    span = _span(end - recent[-same].at)
    return Symptom("CrashLoop", f"nvidia-imex {_how(last)} {same} times in {span}{_last_line(last)}{_MORE}")


def waiting_for(state: str, view: DomainView | None, own: int, peers: dict[int, str]) -> Symptom | None:
    """Why an instance that runs is not ready; `peers` maps indices to the names of nodes. None when it is ready."""
    if state == READY:
        return None
    reason, sentence = _WAITING.get(state, ("NotReady", f"IMEX says {state}"))
    if reason not in {"WaitingForRecovery", "WaitingForPeers"} or view is None:
        return _with_way_out(reason, sentence)
    missing = [peers[node.index] for node, _ in view.unconnected(own, peers)]
    return _with_way_out(reason, f"{sentence}: {_some(missing)}" if missing else sentence)


def unreachable(view: DomainView | None, own: int, peers: dict[int, str]) -> Symptom | None:
    """Which members an instance is not connected to; None when to all, or when that is not known."""
    if view is None:
        return None
    missing = view.unconnected(own, peers)
    if not missing:
        return None
    told = [f"{peers[node.index]} ({_LETTER_SENTENCES.get(letter, letter)})" for node, letter in missing]
    reason = "PeersOfOtherVersion" if all(letter == "V" for _, letter in missing) else "PeersUnreachable"
    return _with_way_out(reason, f"not connected to {len(missing)} of {len(peers.keys() - {own})} peers: {_some(told)}")


def _with_way_out(reason: str, sentence: str) -> Symptom:
    return Symptom(reason, f"{sentence}; {_WAY_OUT[reason]}" if reason in _WAY_OUT else sentence)


def _how(exit_: Exit) -> str:
    return f"was killed by signal {-exit_.code}" if exit_.code < 0 else f"exited with code {exit_.code}"


def _last_line(exit_: Exit) -> str:
    line = next((said for line in reversed(exit_.tail) if (said := _said(line))), "")
    return f"; last line: {line}" if line else ""


def _said(line: str) -> str:
    """Without time, level and thread, which differ each time that the same is said."""
    return line[found.end() if (found := _PREFIX.match(line)) else 0 :].strip()


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"  # noqa: PLR2004 - as people say it


def _some(words: Sequence[str]) -> str:
    rest = len(words) - _NAMED
    return ", ".join(words[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
