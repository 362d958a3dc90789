"""What the daemon says of itself: to the plugin on its node through a file, and to whoever probes it."""

import asyncio
import json
import logging
from collections.abc import Callable

from attrs import asdict, define, field, frozen

from nvdra.domains.imex_daemon.facts import awaited, strangers
from nvdra.domains.imex_daemon.files import Paths
from nvdra.domains.imex_daemon.snapshot import KIND, ImexDaemonSnapshot
from nvdra.engine.domain import Told
from nvdra.errors import Refused
from nvdra.ports import Files

log = logging.getLogger(__name__)
_LOUD = ("config", "hosts", "process")
"""Things whose trouble is the reason. A signal that waits is none."""


@frozen
class Status:
    """status.json: which domain, which leaf, ready or why not, and which nvidia-imex.

    `awaited`: the reason is one that passes by itself, within a minute.
    """

    domain: str
    state: str
    ready: bool
    reason: str
    index: int = -1
    pid: int | None = None
    awaited: bool = False


def status_of(seen: ImexDaemonSnapshot, told: Told) -> Status:
    """The status after one look."""
    entry, life = seen.entry, seen.life
    index = life.index if life.running else entry.index if entry else -1
    is_ready = told.word == "Ready"
    joining = told.leaf.name == "Preparing.Joining" and awaited(seen)
    return Status(seen.identity.domain, told.leaf.name, is_ready, _reason(seen, told), index, life.pid, joining)


def _reason(seen: ImexDaemonSnapshot, told: Told) -> str:
    troubles = [str(told.troubles[thing]) for thing in _LOUD if thing in told.troubles]
    match told.leaf.name:
        case "Idle":
            return "this node has no NVLink fabric, so no IMEX daemon is needed"
        case "Faulted":
            return told.because("reindexed")
        case "Stopping.Ending" | "Stopping.Stopped":
            return "the IMEX daemon ends"
        case "Running.Ready":
            return "; ".join(filter(None, [*troubles, strangers(seen)]))
        case "Running.Failing":
            return told.because("running")
    return troubles[0] if troubles else told.waiting_for


@define(eq=False)
class Voice:
    """The domain's report, and those who wait for it."""

    files: Files
    paths: Paths
    status: Status
    looked_at: float
    on_change: Callable[[Status], None] = lambda _: None
    ready: asyncio.Event = field(factory=asyncio.Event)
    ended: asyncio.Event = field(factory=asyncio.Event)
    _written: Status | None = field(default=None, init=False)

    async def report(self, seen: ImexDaemonSnapshot, told: Told) -> None:
        """Make probes and the status file show it."""
        before, self.status, self.looked_at = self.status, status_of(seen, told), seen.now
        self._wake()
        if self.status.reason != before.reason and self.status.reason:
            refused = any(isinstance(error, Refused) for error in told.troubles.values())
            log.log(logging.WARNING if refused else logging.INFO, "%s: %s", KIND, self.status.reason)
        self.on_change(self.status)
        if self.status != self._written:
            self.files.write(self.paths.status, json.dumps(asdict(self.status)).encode())
            self._written = self.status

    def _wake(self) -> None:
        if self.status.ready:
            self.ready.set()
        else:
            self.ready.clear()
        if self.status.state == "Stopping.Stopped":
            self.ended.set()
