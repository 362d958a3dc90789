"""A cluster with a controller, one domain, and one node whose plugin gets claims of workers."""

import asyncio

from attrs import define

from nvdra.api import kinds
from nvdra.api.records import PodRef
from nvdra.apps.controller import Controller
from nvdra.domains.channel_claim.snapshot import CHANNEL_FOLDER
from tests.builders import CLIQUE, Little
from tests.nodes import Plugin, reading
from tests.virtual_time import until, wall

CHANNEL_0 = (f"{CHANNEL_FOLDER}/channel0", 234, 0)


@define(eq=False)
class Bench:
    """A cluster with a controller, one domain and one node with its plugin."""

    little: Little
    domain: object
    plugin: Plugin
    controller: asyncio.Task

    @property
    def uid(self):
        return self.domain.metadata.uid

    async def ready(self, name="node-1"):
        await self.little.daemon(name, self.uid)

    async def pod(self, uid, phase="Pending", name=""):
        spec = {"containers": [{"name": "c", "image": "i"}]}
        body = {"metadata": {"name": name or f"worker-{uid}"}, "spec": spec}
        made = await self.little.hands.create(kinds.PODS, body, "default")
        await self.little.hands.patch(
            kinds.PODS, made.metadata.name, {"status": {"phase": phase}}, "default", subresource="status"
        )
        return PodRef(made.metadata.name, made.metadata.uid)


async def a_bench(nodes=0, clique=CLIQUE, wrap=lambda cluster: cluster):
    little = await Little.started()
    controller = asyncio.create_task(Controller(little.client("controller"), wall=wall).run())
    domain = await little.domain(nodes=nodes)
    await little.node("node-1", clique)
    plugin = Plugin(wrap(little.client("plugin")), "node-1", seen=reading(clique))
    plugin.start()
    return Bench(little, domain, plugin, controller)


async def prepared(bench, uid="a", **more):
    bench.plugin.wants(uid, bench.uid, **more)
    await asyncio.sleep(1)
    await bench.ready()
    await until(lambda: bench.plugin.state(uid) == "Holding.Prepared")
