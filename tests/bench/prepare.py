"""The kubelet's calls for a channel, over the socket of a plugin that is a process of its own, next to their floors."""

import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from nvdra.sim.rack import Rack, RackSettings
from nvdra.sim.topology import Topology
from tests.bench.table import Figure, millis
from tests.rack.kubelet import PREPARE, UNPREPARE
from tests.rack.rig import Rig

REPEATS, FIRSTS = 200, 25
GO = "claim of a GPU: 198 / 201 ms (3.7 / 6.7 ms without its limit of 5 requests a second)"
GO_RELEASE = "release of a GPU claim: p50 1.2 ms"
CALLER = (sys.executable, "-m", "tests.bench.caller")


async def figures() -> Sequence[Figure]:
    """First, repeated, and released."""
    with tempfile.TemporaryDirectory(prefix="nvdra-", dir=os.environ.get("NVDRA_BENCH_DISK", "/tmp")) as folder:
        async with Rack(RackSettings(Topology(nodes=1), root=Path(folder))) as rack:
            rig = Rig(rack)
            await rig.published(1)
            await rig.create_domain()
            await rig.create_worker("worker", "node-1")
            await rig.running("worker")
            claim = (await rig.claim_of("worker"))["metadata"]
            floors = await _floors(rig, claim)
            socket = f"{rig.plugin_folder('node-1')}/dra.sock"
            calls = Calls(
                claim, await asyncio.create_subprocess_exec(*CALLER, "calls", socket, stdin=PIPE, stdout=PIPE)
            )
            try:
                return await _calls(rig, calls, floors)
            finally:
                await calls.close()


@frozen(eq=False)
class Calls:
    """The two calls for one claim."""

    claim: Any
    caller: Process

    async def timed(self, method: str) -> tuple[float, str]:
        """Milliseconds to the answer, and its error, as another process sees them."""
        assert self.caller.stdout is not None
        self.say("call", method)
        spent, error = json.loads(await self.caller.stdout.readline())
        return spent, error

    def say(self, what: str, method: str) -> None:
        """`call`, or `begin` one that nobody waits for, and `cancel` it."""
        assert self.caller.stdin is not None
        meta = self.claim
        self.caller.stdin.write(f"{what} {method} {meta['uid']} {meta['namespace']} {meta['name']}\n".encode())

    async def close(self) -> None:
        """End the caller."""
        assert self.caller.stdin is not None
        self.caller.stdin.close()
        await self.caller.wait()


async def _calls(rig: Rig, calls: Calls, floors: tuple[list[float], list[float]]) -> Sequence[Figure]:
    repeated = [(await calls.timed(PREPARE))[0] for _ in range(REPEATS)]
    firsts, releases = [], []
    for _ in range(FIRSTS):
        releases.append((await calls.timed(UNPREPARE))[0])
        await rig.until("given back", lambda: not rig.records("node-1"))
        firsts.append(await _first(rig, calls))
    least, least_release = map(millis, floors)
    return [
        Figure(
            "channel claim, first Prepare once its daemon is ready, p50 / p99",
            millis(firsts),
            f"{least} (one GET, two synced files)",
            GO,
        ),
        Figure("channel claim, Prepare repeated or shared by another pod", millis(repeated)),
        Figure(
            "channel claim, Unprepare",
            millis(releases),
            f"{least_release} (one synced file, one removed)",
            GO_RELEASE,
        ),
    ]


async def _first(rig: Rig, calls: Calls) -> float:
    """The call that finds the daemon ready. The one before joins the node, and is broken off before it is answered."""

    async def apart() -> bool:
        return not (await rig.roster() or {}).get("daemons") and not await rig.daemons()

    await rig.until("its daemon has ended", apart)
    calls.say("begin", PREPARE)
    await rig.until("the node has joined", lambda: rig.label("node-1"))
    calls.say("cancel", PREPARE)
    uid = calls.claim["uid"]

    async def ready() -> bool:
        roster = await rig.roster() or {}
        mine = [entry for entry in roster.get("daemons", ()) if entry.get("claim") == uid]
        return bool(roster.get("formed")) and any(entry["status"] == "Ready" for entry in mine)

    await rig.until("its daemon is ready", ready)
    spent, error = await calls.timed(PREPARE)
    assert not error, error
    return spent


async def _floors(rig: Rig, claim: Any) -> tuple[list[float], list[float]]:
    words = (str(rig.rack.kubeconfig), str(rig.rack.root), claim["namespace"], claim["name"], str(REPEATS))
    process = await asyncio.create_subprocess_exec(*CALLER, "floors", *words, stdout=PIPE)
    output, _ = await process.communicate()
    prepares, releases = json.loads(output)
    return prepares, releases
