"""Which runs there are, one after another, each in a place of its own; what they gave, with the machine."""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from attrs import field, frozen

from nvdra.sim.scale.crowd import Crowd
from nvdra.sim.scale.domains import Many, ManyDomains
from nvdra.sim.scale.joining import Joining
from nvdra.sim.scale.place import Place
from nvdra.sim.scale.proc import machine
from nvdra.sim.scale.report import MACHINE, MEASURED
from nvdra.sim.scale.throttled import Start, Throttled

Say = Callable[[str], None]
Json = dict[str, Any]
SIZES = ((36, 2), (1008, 56), (5040, 280))
ARRIVALS = (0.0, 10.0, 120.0)
DOMAINS = (100, 1000, 10_000)


@frozen
class Wanted:
    """What is to be run. `kubeconfig`: of an API server that is there; `pids`: its processes, for their CPU time."""

    sizes: Sequence[tuple[int, int]] = SIZES
    arrivals: Sequence[float] = ARRIVALS
    domains: Sequence[int] = DOMAINS
    plugins: Sequence[int] = (1008,)
    seconds: float = 20.0
    rate: float = 200.0
    kubeconfig: str = ""
    pids: tuple[int, ...] = field(default=())

    def place(self, rate: float = 0.0) -> Place:
        """A fresh one."""
        return Place(self.kubeconfig, rate, self.pids)

    @property
    def server(self) -> str:
        """Which API server."""
        return "kube-apiserver" if self.kubeconfig else "embedded"

    def crowds(self) -> Iterator[Crowd]:
        """Every size with every way to arrive."""
        for nodes, cliques in self.sizes:
            for over in self.arrivals:
                yield Crowd(nodes, cliques, over)


async def run(wanted: Wanted, say: Say) -> AsyncIterator[tuple[str, Json]]:
    """All of it: the part of the page, and the figures, as each run ends."""
    async for part, found in _runs(wanted, say):
        yield part, {**found, MEASURED: dt.datetime.now(dt.UTC).date().isoformat(), MACHINE: machine()}


async def _runs(wanted: Wanted, say: Say) -> AsyncIterator[tuple[str, Json]]:
    for crowd in wanted.crowds():
        async with wanted.place() as place:
            yield "joins", await Joining(crowd, place, say).run()
    if wanted.domains:
        async with wanted.place() as place:
            many = ManyDomains(place, say)
            for number in sorted(wanted.domains):
                yield "domains", await many.run(Many(number, wanted.seconds))
    for plugins in wanted.plugins if not wanted.kubeconfig else ():
        async with wanted.place(wanted.rate) as place:
            yield "throttled", await Throttled(Start(plugins, wanted.rate), place, say).run()
