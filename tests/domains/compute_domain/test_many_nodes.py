"""Domains of many nodes: what is done for each of them is not done one after another."""

import asyncio

from nvdra.api import kinds
from nvdra.apps.controller import Controller
from tests.builders import Little
from tests.unreliable import Unreliable
from tests.virtual_time import virtually, wall


class Slow(Unreliable):
    """Writes to nodes take `seconds`; `most`: how many of them were under way at a time."""

    def __init__(self, inner):
        super().__init__(inner)
        self.seconds, self.now, self.most = 0.0, 0, 0

    async def _call(self, verb, kind, act):
        if kind.plural != "nodes" or verb != "patch":
            return await super()._call(verb, kind, act)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.seconds)
            return await super()._call(verb, kind, act)
        finally:
            self.now -= 1


@virtually
async def test_many_nodes_are_given_back_together():
    """Forty nodes, each of whose labels takes a second to be taken: gone in three turns of sixteen, not in forty."""
    little = await Little.started()
    eyes = Slow(little.client("controller"))
    asyncio.get_running_loop().create_task(Controller(eyes, wall=wall).run())
    domain = await little.domain()
    for number in range(40):
        await little.node(f"node-{number}", clique=f"cluster.{number % 4}")
        await little.join(f"node-{number}", domain.metadata.uid, clique=f"cluster.{number % 4}")
    await asyncio.sleep(10)
    eyes.seconds = 1.0
    await little.delete(domain)
    await asyncio.sleep(1.5)
    assert len(await little.labelled(domain.metadata.uid)) == 40 - 16
    await asyncio.sleep(60)
    assert (eyes.most, await little.seen(domain)) == (16, None)


@virtually
async def test_what_is_said_of_many_nodes_fits_its_place():
    """A clique id that far too many nodes claim to have, with long names: it is told, and no text outgrows the API."""
    little = await Little.started()
    asyncio.get_running_loop().create_task(Controller(little.client("controller"), wall=wall).run())
    domain = await little.domain(nodes=160)
    for number in range(160):
        name = f"node-{number:03d}.{'.'.join(['rack' * 15] * 4)}"[:253]
        await little.hands.create(kinds.NODES, {"metadata": {"name": name}})
        await little.join(name, domain.metadata.uid)
    await asyncio.sleep(60)
    found = (await little.seen(domain)).condition("IndicesAvailable")
    assert (found.status, found.reason) == ("False", "CliqueFull")
    assert "node-018." in found.message
    assert "and 139 more" in found.message
    assert len(found.message) < 2000
