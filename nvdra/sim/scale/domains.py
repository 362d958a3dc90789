"""Thousands of ComputeDomains in one controller: its start, what one more event costs, and some of them changing."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import define, field, frozen

from nvdra.errors import NvdraError
from nvdra.sim.scale.controller import ControllerProcess
from nvdra.sim.scale.place import AGENT, Place, told
from nvdra.sim.scale.proc import load
from nvdra.sim.scale.seeding import SETS_PATH, Seeded, listed_bytes, seed
from nvdra.sim.scale.wire import Ask

Say = Callable[[str], None]
Figures = dict[str, Any]
EVENTS = 2000
EVENTS_A_SECOND = 100
WRONG_IMAGE = "somebody-elses"


@frozen
class Many:
    """How many domains, and for how many seconds 1 % of them change each second."""

    domains: int = 100
    seconds: float = 20.0
    limit: float = 300.0


@define(eq=False)
class ManyDomains:
    """Runs in one place, with more domains each time: `run` gives the figures of one size."""

    place: Place
    say: Say
    seeded: list[Seeded] = field(factory=list, init=False)
    prefix: str = field(factory=lambda: f"many-{os.urandom(3).hex()}", init=False)

    async def run(self, many: Many) -> Figures:
        """So many domains, a controller that starts, and then changes."""
        began = time.monotonic()
        self.seeded += await seed(self.place, self.prefix, len(self.seeded), many.domains - len(self.seeded))
        self.say(f"{many.domains} domains are there after {time.monotonic() - began:.0f} s")
        size = await listed_bytes(self.place)
        server = self.place.cpu()
        async with ControllerProcess(self.place) as controller:
            quiet = await controller.quiet(many.limit)
            start, usage = await controller.state(), controller.usage()
            self.say(f"quiet after {quiet:.1f} s, {usage.resident:.0f} MiB")
            figures: Figures = {
                "domains": many.domains,
                "start until quiet, s": round(quiet, 1),
                "start: CPU, s": round(usage.cpu, 1),
                "start: CPU of the API server, s": round(self.place.cpu() - server, 1) if self.place.pids else None,
                "start: requests": start.total,
                "start: writes": sum(start.writes().values()),
                "start: read, MB": round(size / 1e6, 1),
                "memory when quiet, MiB": round(usage.resident),
                "memory at its peak, MiB": round(usage.peak),
            }
            figures |= await self._events(controller)
            figures |= await self._drift(controller, many)
            end = controller.usage()
            return figures | {"memory at the end, MiB": round(end.resident), "load of the machine": round(load(), 1)}

    async def _events(self, controller: ControllerProcess) -> Figures:
        """Changes that need nothing: an annotation."""
        chosen = [self.seeded[number % len(self.seeded)] for number in range(EVENTS)]
        before, usage = await controller.state(), controller.usage()

        async def touch(number: int) -> None:
            patch = {"metadata": {"annotations": {"example.com/touched": str(number)}}}
            await self.place.patch("computedomains", chosen[number].path, patch)

        depth = await paced(touch, EVENTS, EVENTS_A_SECOND, controller)
        await controller.quiet(60)
        spent = (await controller.state()).since(before)
        cpu = controller.usage().cpu - usage.cpu
        return {
            "events": EVENTS,
            "CPU of one more event, ms": round(cpu * 1e3 / EVENTS, 2),
            "requests of the controller for them": spent.total,
            "most keys waiting meanwhile": max(depth, default=0),
        }

    async def _drift(self, controller: ControllerProcess, many: Many) -> Figures:
        """Changes that need a write: somebody sets another image in 1 % of the DaemonSets each second."""
        rate = max(1, many.domains // 100)
        total = int(rate * many.seconds)
        if total > len(self.seeded):
            raise NvdraError(f"{total} changes are more than {len(self.seeded)} domains: fewer seconds")
        watch = _Repairs()
        target = f"{SETS_PATH}?watch=true&resourceVersion={await self._version()}&timeoutSeconds=3000"
        line = await self.place.wire.watch(Ask(AGENT, "watch", "daemonsets", target), watch.saw)
        before, usage = await controller.state(), controller.usage()
        stride = max(1, len(self.seeded) // total)

        async def drift(number: int) -> None:
            container = {"name": "compute-domain-daemon", "image": WRONG_IMAGE}
            patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
            await self.place.patch(
                "daemonsets", self.seeded[number * stride].set_path, patch, how="strategic-merge-patch+json"
            )

        depth = await paced(drift, total, rate, controller)
        late = time.monotonic()
        await controller.quiet(many.limit)
        late = time.monotonic() - late
        self.place.wire.forget(line)
        spent = (await controller.state()).since(before)
        if len(watch.lags) < total:
            raise NvdraError(f"only {len(watch.lags)} of {total} DaemonSets were put right")
        return {
            "changes a second": rate,
            "changes": total,
            "their writes": sum(spent.writes().values()),
            "their requests": spent.total,
            "their conflicts": spent.conflicts(),
            "keys waiting: median": _part(depth, 0.5),
            "keys waiting: most": max(depth, default=0),
            "put right after, p50, ms": round(_part(watch.lags, 0.5) * 1e3),
            "put right after, p99, ms": round(_part(watch.lags, 0.99) * 1e3),
            "quiet after the last, s": round(late, 1),
            "CPU of a change, ms": round((controller.usage().cpu - usage.cpu) * 1e3 / total, 2),
        }

    async def _version(self) -> str:
        listing = await self.place.get("daemonsets", f"{SETS_PATH}?limit=1")
        return str(listing["metadata"]["resourceVersion"])


@define(eq=False)
class _Repairs:
    """From the moment that something is wrong until it is right again, as a watcher sees it."""

    wrong: dict[str, float] = field(factory=dict)
    lags: list[float] = field(factory=list)

    def saw(self, line: bytes) -> None:
        type_, seen = told(line)
        if type_ != "MODIFIED":
            return
        name, now = seen["metadata"]["name"], time.monotonic()
        image = seen["spec"]["template"]["spec"]["containers"][0]["image"]
        if image == WRONG_IMAGE:
            self.wrong.setdefault(name, now)
        elif name in self.wrong:
            self.lags.append(now - self.wrong.pop(name))


async def paced(
    act: Callable[[int], Awaitable[None]], total: int, rate: float, controller: ControllerProcess
) -> list[int]:
    """Do it `total` times, `rate` a second; how many keys waited in the controller, twice a second."""
    depth: list[int] = []
    began = time.monotonic()

    async def at(number: int) -> None:
        await asyncio.sleep(began + number / rate - time.monotonic())
        await act(number)

    async def sample() -> None:
        while True:
            depth.append((await controller.state()).waiting)
            await asyncio.sleep(0.5)

    sampler = asyncio.create_task(sample())
    try:
        await asyncio.gather(*(at(number) for number in range(total)))
    finally:
        sampler.cancel()
    return depth


def _part(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
