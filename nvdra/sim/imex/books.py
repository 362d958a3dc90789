"""What an instance keeps on disk: the node's one session, who imported from it, what it imported and lost."""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nvdra.sim.imex.settings import ImexFault, Place


def hash_of(names: Iterable[str]) -> str:
    """Instances compare this: lists of nodes that differ make them refuse each other."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


class Session:
    """The one IMEX session that a node's driver admits: a lock that ends with its holder, however that ends."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._file = os.open(root / "imex-session.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise ImexFault("Failed to allocate Imex session: NV_ERR_IN_USE") from error

    def close(self) -> None:
        """Let the next one in."""
        os.close(self._file)


class Exports:
    """The persistence file: which nodes hold memory of ours, and whether the last instance said goodbye to them."""

    def __init__(self, path: Path, nodes: str) -> None:
        self._path = path
        self._nodes = nodes
        self.existed = path.exists()
        last = _read(path)
        unclean = last.get("nodes") == nodes and not last.get("clean", True)
        self.former = frozenset[int](last.get("importers", ())) if unclean else frozenset()
        self.importers: set[int] = set()
        self._save(clean=False, importers=self.former)

    def added(self, node: int) -> None:
        """A node imported from us."""
        self.importers.add(node)
        self._save(clean=False, importers=self.importers)

    def released(self, node: int) -> None:
        """A node holds nothing of ours any more."""
        if node in self.importers:
            self.importers.discard(node)
            self._save(clean=False, importers=self.importers)

    def recovered(self) -> None:
        """All former importers have cleaned up."""
        self._save(clean=False, importers=self.importers)

    def close(self) -> None:
        """A clean stop: nobody holds anything."""
        self._save(clean=True, importers=())

    def _save(self, *, clean: bool, importers: Iterable[int]) -> None:
        _write(self._path, {"nodes": self._nodes, "clean": clean, "importers": sorted(importers)})


class Imports:
    """What this node imported from which peer, and how much was lost because the peer's instance went."""

    def __init__(self, place: Place) -> None:
        self._path = place.root / "imex-memory.json"
        self.generation = secrets.token_hex(8)
        self.held: dict[int, int] = {}
        self.lost = int(_read(self._path).get("lost", 0))
        self._save()

    def added(self, peer: int) -> None:
        """One piece of memory more from that peer."""
        self.held[peer] = self.held.get(peer, 0) + 1
        self._save()

    def gone(self, peer: int) -> int:
        """Everything from that peer is invalid now; how many pieces that were."""
        count = self.held.pop(peer, 0)
        if count:
            self.lost += count
            self._save()
        return count

    def _save(self) -> None:
        held = {str(peer): count for peer, count in self.held.items()}
        _write(self._path, {"generation": self.generation, "imported": held, "lost": self.lost})


def lost_imports(root: Path) -> int:
    """How many imports of a node were invalidated so far: CUDA would fail on access."""
    return int(_read(root / "imex-memory.json").get("lost", 0))


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, json.JSONDecodeError):
        told = json.loads(path.read_text())
        if isinstance(told, dict):
            return told
    return {}


def _write(path: Path, told: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(told))
    aside.rename(path)
