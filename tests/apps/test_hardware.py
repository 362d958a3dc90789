"""How often a plugin looks at its node's hardware."""

import asyncio

from attrs import define, field

from nvdra.api.local import READINGS
from nvdra.apps.hardware import Probe
from nvdra.engine.store import Store
from nvdra.node import ChannelNumbers, NvmlReading
from tests.virtual_time import virtually


@define
class Node:
    """NVML, /proc and the list of devices, as far as they are asked."""

    looks: int = 0
    published: list = field(factory=list)
    registered: bool = False

    async def nvml(self):
        self.looks += 1
        return NvmlReading("580.95.05")

    async def publish(self, devices):
        self.published.append(devices)


@define
class Nvml:
    node: Node

    async def read(self):
        return await self.node.nvml()


class Proc:
    def read(self):
        return ChannelNumbers()


@virtually
async def test_a_plugin_that_nobody_registers_leaves_the_driver_in_peace():
    """NVML is looked at as often as ever while the kubelet does not know us; once it does, devices are there at once."""
    node, store = Node(), Store(lambda _: None)
    probe = Probe(Nvml(node), Proc(), store, node, lambda: node.registered, every=5.0)
    running = asyncio.create_task(probe.run())
    await asyncio.sleep(61)
    assert node.looks <= 14
    assert (store.get(READINGS, "node").driver, node.published) == ("580.95.05", [])
    node.registered = True
    await asyncio.sleep(0.2)
    assert len(node.published) == 1
    probe.at_once()
    await asyncio.sleep(0.01)
    assert len(node.published) == 2
    await asyncio.sleep(60)
    assert len(node.published) <= 15
    running.cancel()
