"""The node label `nvidia.com/gpu.clique`, for clusters without GPU Feature Discovery: workloads' affinities need it."""

import asyncio
import logging
from typing import Any

from attrs import define, field

from nvdra.api import kinds, names
from nvdra.api.local import READINGS
from nvdra.apps.own_node import OwnNode
from nvdra.engine.queue import Key
from nvdra.engine.store import Store
from nvdra.errors import NotFound, NvdraError
from nvdra.ports import Cluster

log = logging.getLogger(__name__)


@define(eq=False)
class CliqueLabel:
    """Keeps the label as NVML says. What NVML does not know (training, failed) changes nothing."""

    cluster: Cluster
    store: Store
    node: OwnNode
    retry: float = 5.0
    _wake: asyncio.Event = field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        """A new reading may be another clique; a new look at the node may show that somebody changed the label."""
        self.store.concern(READINGS, self._changed)
        self.store.concern(kinds.NODES, self._changed)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self.settle()
            except NvdraError as error:
                log.warning("label %s of node %s not written: %s", names.GPU_CLIQUE_LABEL, self.node.name, error)
                await asyncio.sleep(self.retry)
                continue
            await self._wake.wait()

    async def settle(self) -> None:
        """Compare, and write only what differs."""
        reading = self.store.get(READINGS, "node")
        if reading is None or not reading.clique.known:
            return
        wanted = reading.clique.id or None
        patch = {"metadata": {"labels": {names.GPU_CLIQUE_LABEL: wanted}}}
        try:
            if (await self.node.known()).metadata.labels.get(names.GPU_CLIQUE_LABEL) == wanted:
                return
            after = await self.cluster.patch(kinds.NODES, self.node.name, patch)
        except NotFound:
            return  # the node is being removed, and we with it
        log.info("node %s is labelled %s=%s", self.node.name, names.GPU_CLIQUE_LABEL, wanted)
        self.store.learn(kinds.NODES, after)

    def _changed(self, _: Any) -> list[Key]:
        self._wake.set()
        return []
