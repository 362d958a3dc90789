"""The plugin's door to the kubelet, without gRPC: calls are tasks of the plugin, and end with it or their caller."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import define, field

from nvdra.adapters.kubelet.plugin import ClaimRef, Failure, Plugin, Prepared, RegistrationStatus
from nvdra.sim.storm.fate import Odds
from nvdra.sim.storm.life import Edge

CALL_LIMIT: Final = 45.0
DOOR_ODDS: Final[Odds] = {"lost": 0.01, "unanswered": 0.02}


class CallFailed(Exception):
    """The kubelet's call came to nothing, as far as the kubelet knows."""


@define(eq=False)
class StormDoor:
    """kubelet.plugin.Door. `opened` hangs it on its node, `closed` takes it off."""

    plugin: Plugin
    edge: Edge
    opened: Callable[["StormDoor"], None]
    closed: Callable[["StormDoor"], None]
    registered: RegistrationStatus | None = field(default=None, init=False)
    told: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def alone(self) -> None:
        """Always: a node's next plugin starts when the last one has ended."""

    async def start(self) -> None:
        """Serve."""
        self.edge.on_death.append(lambda: self.closed(self))
        self.opened(self)

    async def stop(self) -> None:
        """Serve no more."""
        self.registered = None
        self.closed(self)

    async def call(self, method: str, refs: Sequence[ClaimRef]) -> dict[str, Prepared | Failure | None]:
        """One call of the kubelet's. CallFailed when no answer came, whatever was done."""
        self._alive()
        fate = self.edge.fate(f"is called: {method}", DOOR_ODDS)
        if fate == "lost":
            raise CallFailed("rpc error: code = Unavailable desc = the call was lost")
        work: Any = self.plugin.prepare(refs) if method == "prepare" else self.plugin.unprepare(refs)
        task = self.edge.run(work)
        self.edge.on_death.append(task.cancel)  # type: ignore[arg-type]  # what it returns is of no interest
        try:
            async with asyncio.timeout(CALL_LIMIT):
                await asyncio.wait([task])
        except TimeoutError as late:
            raise CallFailed("rpc error: code = DeadlineExceeded desc = context deadline exceeded") from late
        finally:
            task.cancel()  # a caller that has gone cancels what it called
        if task.cancelled() or not self.edge.alive:
            raise CallFailed("rpc error: code = Unavailable desc = transport is closing")
        error = task.exception()
        if error is not None:
            self.edge.ground.broken(f"{self.edge.name}: {method} broke down: {error!r}")
            raise CallFailed(f"rpc error: code = Unknown desc = {error!r}")
        if fate == "unanswered":
            raise CallFailed("rpc error: code = Unavailable desc = the answer was lost")
        return dict(task.result())

    def _alive(self) -> None:
        if not self.edge.alive:
            raise CallFailed("rpc error: code = Unavailable desc = connection refused")
