"""The words of nvidia-imex-ctl: the state of one instance, and its view of the whole domain. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import field, frozen

READY: Final = "READY"
UNKNOWN: Final = "UNKNOWN"
"""It answered with something that is not a state."""
NO_ANSWER: Final = "NO_ANSWER"
"""It did not answer in time. Field reports: it can hang for good."""

CONNECTED: Final = "C"
_LETTERS: Final = {
    "CONNECTED": "C",
    "NEVER_CONNECTED": "N",
    "RECOVERING": "R",
    "DISCONNECTED": "D",
    "INVALID": "I",
    "VERSION_MISMATCH": "V",
    "WRONG_VERSION": "V",
    "AUTHENTICATION_FAILED": "!",
}
_WORD: Final = re.compile(r"[A-Z][A-Z_]*")


@frozen
class ImexNode:
    """One line of the list of nodes. `connections` maps the others' indices to letters: C N R D I V ! or ? (new)."""

    index: int
    status: str
    host: str = ""
    version: str = ""
    connections: Mapping[int, str] = field(factory=dict)


@frozen
class DomainView:
    """What one instance sees of the domain. `status` is DEGRADED for ever while a slot of the list is empty: no use."""

    status: str
    nodes: Mapping[int, ImexNode]

    def row(self, index: int) -> str:
        """One node's line of the matrix, a letter for each node; empty for one that is not there."""
        connections = self.nodes[index].connections if index in self.nodes else {}
        return "".join(connections[other] for other in sorted(connections))

    def unconnected(self, own: int, peers: Iterable[int]) -> tuple[tuple[ImexNode, str], ...]:
        """Those of `peers` that instance `own` is not connected to, each with its letter ("?": not told)."""
        row = self.nodes[own].connections if own in self.nodes else {}
        return tuple(
            (self.nodes.get(peer, ImexNode(peer, UNKNOWN)), row.get(peer, "?"))
            for peer in sorted(peers)
            if peer != own and row.get(peer) != CONNECTED
        )


def state_of(printed: str) -> str:
    """The state in what `-q` printed; READY only if that is all it said."""
    if printed == f"{READY}\n":
        return READY
    word = printed.strip()
    if word == READY or not _WORD.fullmatch(word):
        return UNKNOWN
    return word


def domain_view(printed: str) -> DomainView | None:
    """What `-N -j` printed; None for any shape that we do not know."""
    try:
        told = json.loads(printed)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not isinstance(told.get("status"), str) or not isinstance(told.get("nodes"), dict):
        return None
    nodes = [_node(key, value) for key, value in told["nodes"].items()]
    known = {node.index: node for node in nodes if node is not None}
    if len(known) != len(nodes) or not known:
        return None
    return DomainView(told["status"], known)


def _node(key: str, told: object) -> ImexNode | None:
    index = _index(key)
    if index is None or not isinstance(told, dict):
        return None
    status, connections = told.get("status"), told.get("connections", {})
    if not isinstance(status, str) or not isinstance(connections, dict):
        return None
    row = {_index(other): _letter(value) for other, value in connections.items()}
    if None in row:
        return None
    return ImexNode(
        index,
        status,
        host=_text(told.get("hostName")) or _text(told.get("host")),
        version=_text(told.get("version")),
        connections={other: letter for other, letter in row.items() if other is not None},
    )


def _index(key: str) -> int | None:
    return int(key) if key.isascii() and key.isdecimal() and len(key) <= len("9999") else None


def _letter(told: object) -> str:
    word = told.get("status") if isinstance(told, dict) else told
    if not isinstance(word, str):
        return "?"
    if len(word) == 1 and word in _LETTERS.values():
        return word
    return _LETTERS.get(word, "?")


def _text(told: object) -> str:
    return told if isinstance(told, str) else ""
