"""GPU Feature Discovery as it is on a real node: it looks at NVML every now and then, and the label follows."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from nvdra.api.fabric import clique_of
from nvdra.sim.kube.controllers.discovery import FeatureDiscovery
from nvdra.sim.nvml import PretendNvml

EVERY: Final = 1.0
"""Seconds; the real one takes 60."""


async def follow(discovery: FeatureDiscovery, hardware: Mapping[str, Path]) -> None:
    """Until cancelled: whatever the hardware file of a node says for certain becomes the node's label."""
    told: dict[str, str] = {}
    while True:
        for node, path in hardware.items():
            clique = clique_of(await PretendNvml(path).read())
            if clique.known and told.get(node) != clique.id:
                told[node] = clique.id
                discovery.tell(node, clique.id)
        await asyncio.sleep(EVERY)
