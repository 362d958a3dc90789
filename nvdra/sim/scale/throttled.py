"""All plugins of a rack start at once, and the API server turns away what is too much: 429 with Retry-After.

The parts of the real plugin that talk at its start run here, each with the real client: the version of resource.k8s.io,
the look at the hardware and the ResourceSlice, the sweep, the pods that wait.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from nvdra.adapters.cdi import CdiFolder
from nvdra.adapters.checkpoint import Records
from nvdra.adapters.files import DiskFiles
from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.procfs import ProcFiles
from nvdra.adapters.slices import SlicePublisher
from nvdra.api import kinds, names
from nvdra.apps.api_version import resource_version
from nvdra.apps.hardware import Probe
from nvdra.apps.own_node import OwnNode
from nvdra.apps.recovery import Recovery
from nvdra.engine.store import Store
from nvdra.errors import NvdraError
from nvdra.ports import Subject
from nvdra.sim.nvml import PretendNvml, cluster_uuid, in_clique, make_driver_root, write_rack_node
from nvdra.sim.scale.place import Place
from nvdra.sim.topology import FIRST_CLIQUE

Say = Callable[[str], None]
Figures = dict[str, Any]
TURNED_AWAY = 429
AFTERMATH_SECONDS = 3.0


@frozen
class Start:
    """How many plugins, and how many requests a second the API server takes."""

    plugins: int = 1008
    rate: float = 200.0
    limit: float = 600.0


@define(eq=False)
class Throttled:
    """One run."""

    start: Start
    place: Place
    say: Say
    answers: Counter[tuple[int, bool]] = field(factory=Counter, init=False)
    """By the second, and whether turned away."""
    kinds: Counter[str] = field(factory=Counter, init=False)
    published: list[float] = field(factory=list, init=False)
    began: float = field(default=0.0, init=False)

    async def run(self) -> Figures:
        """All start; the figures when every one has its ResourceSlice."""
        names_ = [f"node-{number:04d}" for number in range(self.start.plugins)]
        for name in names_:
            await self.place.create("nodes", "/api/v1/nodes", {"metadata": {"name": name, "labels": {"a": "b"}}})
        root = self.place.folder / "node"
        root.mkdir()
        make_driver_root(root)
        write_rack_node(root / "hardware.json", "node", 4, in_clique(cluster_uuid("rack-0"), FIRST_CLIQUE))
        self.say(f"{len(names_)} plugins start, the API server takes {self.start.rate:g} requests a second")
        self.began = time.monotonic()
        tasks = [asyncio.create_task(self._plugin(name, root)) for name in names_]
        try:
            await self._all_published()
            took = time.monotonic() - self.began
            await asyncio.sleep(AFTERMATH_SECONDS)
            return self._told(took)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _plugin(self, name: str, root: Path) -> None:
        client = KubeClient(self.place.wire.access, "kubelet-plugin", observe=self._answered)
        store = Store(lambda _: None)
        try:
            version = await resource_version(client, "")
            node = OwnNode(client, store, name)
            slices = SlicePublisher(client, version, name, names.CD_DRIVER, node)
            proc = ProcFiles(root / "driver/proc/devices", root / "driver/proc/driver/nvidia")
            probe = Probe(PretendNvml(root / "hardware.json"), proc, store, slices, lambda: True)
            recovery = self._recovery(client, store, node, root / name)
            told = asyncio.Event()
            told.set()
            async with asyncio.TaskGroup() as group:
                for work in (probe, slices, recovery):
                    group.create_task(work.run())
                group.create_task(recovery.wake_pending(lambda: True, told))
        finally:
            await client.close()

    def _recovery(self, client: KubeClient, store: Store, node: OwnNode, folder: Path) -> Recovery:
        return Recovery(
            cluster=client,
            store=store,
            records=Records(folder, "boot"),
            cdi=CdiFolder(folder / "cdi"),
            files=DiskFiles(),
            domains=folder / "domains",
            node=node,
            claims=kinds.RESOURCE_CLAIMS,
            announcer=_Nobody(),
            wall=time.time,
        )

    def _answered(self, verb: str, resource: str, code: int, _seconds: float) -> None:
        now = time.monotonic() - self.began
        self.answers[int(now), code == TURNED_AWAY] += 1
        self.kinds[f"{verb} {resource} {code}"] += 1
        if (verb, resource) == ("create", "resourceslices") and code < 300:
            self.published.append(now)

    async def _all_published(self) -> None:
        end = time.monotonic() + self.start.limit
        while len(self.published) < self.start.plugins:
            if time.monotonic() > end:
                raise NvdraError(f"{len(self.published)} of {self.start.plugins} plugins published in time")
            await asyncio.sleep(0.1)

    def _told(self, took: float) -> Figures:
        seconds = int(took) + 1
        offered = [self.answers[second, False] + self.answers[second, True] for second in range(seconds)]
        taken = sum(number for (_, refused), number in self.answers.items() if not refused)
        refused = sum(number for (_, turned), number in self.answers.items() if turned)
        ordered = sorted(self.published)
        return {
            "plugins": self.start.plugins,
            "requests taken a second, at most": self.start.rate,
            "all published after, s": round(took, 1),
            "half published after, s": round(ordered[len(ordered) // 2], 1),
            "at best, s": round(taken / self.start.rate, 1),
            "requests taken": taken,
            "requests turned away": refused,
            "turned away, of all": f"{refused / max(1, taken + refused):.0%}",
            "requests of a plugin": round((taken + refused) / self.start.plugins, 1),
            "requests in the worst second": max(offered),
            "requests a second, each second": offered,
            "by kind and answer": dict(sorted(self.kinds.items())),
        }


class _Nobody:
    """Nothing is told."""

    def tell(self, about: Subject, reason: str, message: str, *, warning: bool = False) -> None:
        """Not here."""
