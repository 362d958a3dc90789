"""`python -m nvdra.sim.scale.server`: the embedded API server as a process of its own, so that its CPU can be told.

With --rate it turns requests away above that many a second, as API priority and fairness does: 429 and Retry-After.
"""

import argparse
import asyncio
import contextlib
import gc
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field

from nvdra.sim.apiserver.faults import Call, Faults, Rule, Sort
from nvdra.sim.apiserver.server import ApiServer, kubeconfig
from nvdra.sim.apiserver.store import ObjectStore

HISTORY = 50_000
BOOKMARK_SECONDS = 300.0
FREE = ("nvdra-scale",)
"""Who is never turned away: those who measure."""


@define(eq=False)
class Rationed(Faults):
    """Turns requests away above `rate` a second (0: none)."""

    rate: float = 0.0
    _tokens: float = field(default=0.0, init=False)
    _at: float = field(factory=time.monotonic, init=False)

    def struck(self, call: Call, sorts: Sequence[Sort]) -> Rule | None:
        """The rules, and the ration."""
        if self.rate and "throttle" in sorts and not call.agent.startswith(FREE) and not self._spend():
            return Rule("throttle", seconds=1.0)
        return Faults.struck(self, call, sorts)

    def _spend(self) -> bool:
        now = time.monotonic()
        self._tokens = min(self.rate, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


async def serve(path: Path, rate: float) -> None:
    """Until SIGTERM; the kubeconfig at `path` says where."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    api = ApiServer(ObjectStore(history=HISTORY), bookmark_seconds=BOOKMARK_SECONDS)
    api.faults = Rationed(rate=rate)
    await api.start()
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(kubeconfig(api.url))
    fresh.rename(path)
    try:
        await stop.wait()
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):  # thousands of watches are open: the process ends anyway
                await api.stop()


def main(arguments: Sequence[str]) -> None:
    """From the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("--rate", type=float, default=0.0)
    chosen = parser.parse_args(arguments)
    gc.set_threshold(50_000, 50, 100)  # its store is large and lives long
    asyncio.run(serve(chosen.kubeconfig, chosen.rate))


if __name__ == "__main__":
    main(sys.argv[1:])
