"""The Node that a plugin runs on: read once at the start for all parts that ask, and live when it has to be live."""

import asyncio

from attrs import define, field

from nvdra.api import kinds
from nvdra.api.objects import Node
from nvdra.engine.store import Store
from nvdra.ports import Cluster


@define(eq=False)
class OwnNode:
    """One object in the store, and the ways to it. Who writes it tells the store itself."""

    cluster: Cluster
    store: Store
    name: str
    _one: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def known(self) -> Node:
        """As this process saw it last, whenever that was; read live when nobody has yet. Who asks meanwhile waits."""
        async with self._one:
            return self.store.get(kinds.NODES, self.name) or await self.read()

    async def read(self) -> Node:
        """Read live."""
        node = await self.cluster.get(kinds.NODES, self.name)
        self.store.put(kinds.NODES, node)
        return node
