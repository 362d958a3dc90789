"""One fault on a rack: its nodes, its domain, its workers, and what people can see of them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from nvdra.adapters.kube.client import KubeClient
from nvdra.apps.explain import account_of, shown
from nvdra.errors import NvdraError
from nvdra.explain.faults import Fault
from nvdra.sim.kube.kinds import PODS
from tests.naming import IN_TIME, lacking, places_of
from tests.rack.rig import DOMAINS, Json, Rig


@define(eq=False, repr=False)
class Case:
    """A fault with the part of the rack that it has for itself. Domain and worker are called after the fault."""

    rig: Rig
    fault: Fault
    nodes: tuple[str, ...]
    worker: str = ""
    namespace: str = "default"
    _made: int = field(default=0, init=False)

    @property
    def node(self) -> str:
        """The first node: the fault is there."""
        return self.nodes[0]

    @property
    def domain(self) -> str:
        """The ComputeDomain's name."""
        return self.fault.name

    async def create_domain(self, wanted: int = 1, **more: Any) -> None:
        """The ComputeDomain."""
        await self.rig.create_domain(self.domain, wanted=wanted, **more)

    async def create_worker(self, node: str = "", **more: Any) -> str:
        """A worker on that node, else on the first; the first worker is the one that people look at."""
        name = f"{self.fault.name}-{self._made}"
        self._made += 1
        self.worker = self.worker or name
        await self.rig.create_worker(name, node or self.node, domain=self.domain, **more)
        return name

    async def start(self, wanted: int = 1) -> None:
        """The domain, and a worker on each of its nodes."""
        await self.create_domain(wanted)
        for node in self.nodes:
            await self.create_worker(node)

    async def described(self) -> dict[str, str]:
        """What `kubectl describe` would show: conditions, and Events about the ComputeDomain and about the pod."""
        about = {"ComputeDomain": (DOMAINS, self.domain, "default"), "worker Pod": (PODS, self.worker, self.namespace)}
        return {shown_on: await self._texts(*where) for shown_on, where in about.items() if where[1]}

    async def _texts(self, kind: Any, name: str, namespace: str) -> str:
        found: Json = await self.rig.get(kind, name, namespace) or {}
        conditions = (found.get("status") or {}).get("conditions") or ()
        events = await self.rig.events(name)
        return "\n".join([*(c.get("message", "") for c in conditions), *(e["message"] for e in events)])

    async def explained(self, client: KubeClient) -> str:
        """What `nvdra explain` says, without its line breaks."""
        try:
            text = shown(await account_of(client, ("default", self.domain)), "text")
        except NvdraError as error:
            text = str(error)
        return " ".join(text.split())

    async def named(self) -> None:
        """Until every object on which the fault shows says cause and way out; AssertionError after ten seconds."""

        async def told() -> bool:
            seen = await self.described()
            return not lacking(self.fault, {place: seen[place] for place in places_of(self.fault)})

        clock, passed = asyncio.get_running_loop().time, 0.0
        while not await told():
            began = clock()
            await asyncio.sleep(LOOK_EVERY)
            passed += min(clock() - began, 2 * LOOK_EVERY)
            if passed > IN_TIME:
                seen = "\n".join(f"--- {place}\n{text}" for place, text in (await self.described()).items())
                raise AssertionError(f"{self.fault.name}: not named in time\n{seen}")


LOOK_EVERY = 0.1
"""Seconds. The whole rack lives in this process: while that is held up, no time passes."""


@frozen
class Injection:
    """How a fault is made on a rack, and how many nodes it takes. `everywhere`: it strikes the whole rack."""

    make: Callable[[Case], Awaitable[None]]
    nodes: int = 1
    everywhere: bool = False


async def described_by_kubectl(kubectl: Path, case: Case) -> str:
    """The real thing, without its line breaks."""
    words = [str(kubectl), f"--kubeconfig={case.rig.rack.kubeconfig}", "describe"]
    texts = []
    for place in places_of(case.fault):
        of_domain = place == "ComputeDomain"
        target = ["computedomain", case.domain] if of_domain else ["pod", case.worker]
        namespace = "default" if of_domain else case.namespace
        process = await asyncio.create_subprocess_exec(
            *words, *target, "-n", namespace, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await process.communicate()
        texts.append(" ".join(out.decode().split()))
    return "\n".join(texts)
