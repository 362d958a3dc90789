"""Scripted nodes by the thousand: so many in so many cliques, and what is there of them before anybody joins."""

import asyncio
from collections.abc import Iterable

from attrs import frozen

from nvdra.sim.nvml import cluster_uuid
from nvdra.sim.scale.place import Place
from nvdra.sim.scale.scripted import ScriptedNode
from nvdra.sim.topology import FIRST_CLIQUE

SLICES_PATH = "/apis/resource.k8s.io/v1/resourceslices"


@frozen
class Crowd:
    """How many, in how many cliques, and over how many seconds they come."""

    nodes: int = 36
    cliques: int = 2
    over: float = 0.0
    limit: float = 900.0

    @property
    def most(self) -> int:
        """Nodes in the largest clique."""
        return -(-self.nodes // self.cliques)

    def clique(self, number: int) -> str:
        """Of the node of that number, from 0; numbered as a rack's own nodes are."""
        return f"{cluster_uuid('rack-0')}.{FIRST_CLIQUE - number * self.cliques // self.nodes}"

    def scripted(self, place: Place, prefix: str, first: int = 0) -> list[ScriptedNode]:
        """All from `first` on."""
        width = len(str(self.nodes))
        return [
            ScriptedNode(place.wire, number, f"{prefix}-{number + 1:0{width}d}", self.clique(number))
            for number in range(first, self.nodes)
        ]


async def offer(place: Place, nodes: Iterable[ScriptedNode]) -> None:
    """Make their Nodes and ResourceSlices."""
    await asyncio.gather(*(_offer(place, node) for node in nodes))


async def _offer(place: Place, node: ScriptedNode) -> None:
    objects = node.objects()
    await place.create("nodes", "/api/v1/nodes", objects["nodes"])
    await place.create("resourceslices", SLICES_PATH, objects["resourceslices"])
