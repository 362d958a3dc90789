"""The label `nvidia.com/gpu.clique`, where the plugin sets it instead of GPU Feature Discovery."""

import asyncio
import contextlib

import pytest

from nvdra.api import kinds, names
from nvdra.api.fabric import Clique
from nvdra.api.local import READINGS, NodeReading
from nvdra.apps.clique_label import CliqueLabel
from nvdra.apps.own_node import OwnNode
from nvdra.engine.store import Store
from nvdra.errors import Again
from tests.builders import CLIQUE, OTHER_CLIQUE, Little

NODE = "n1"


@contextlib.asynccontextmanager
async def labelling(little: Little, cluster=None):
    """The part at work, with the store of its plugin."""
    store = Store(lambda _: None)
    one = cluster or little.client("plugin")
    part = CliqueLabel(one, store, OwnNode(one, store, NODE), retry=0.01)
    task = asyncio.ensure_future(part.run())
    yield store
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def shows(little: Little, wanted: str | None) -> None:
    """Wait until the label is so."""
    async with asyncio.timeout(10):
        while True:
            if (await little.nodes())[NODE].metadata.labels.get(names.GPU_CLIQUE_LABEL) == wanted:
                return
            await asyncio.sleep(0.005)


def read(store: Store, clique: str | None) -> None:
    store.put(READINGS, NodeReading(Clique(known=clique is not None, id=clique or "", because="test")))


async def test_it_follows_nvml():
    """A known clique is shown, another one replaces it, and a node without fabric has no label."""
    little = await Little.started()
    await little.node(NODE)
    async with labelling(little) as store:
        for clique in (CLIQUE, OTHER_CLIQUE, ""):
            read(store, clique)
            await shows(little, clique or None)


async def test_what_nvml_does_not_know_changes_nothing():
    """While the fabric trains or fails, the label stays; it is right again when NVML knows."""
    little = await Little.started()
    await little.node(NODE)
    async with labelling(little) as store:
        read(store, CLIQUE)
        await shows(little, CLIQUE)
        version = (await little.nodes())[NODE].metadata.resourceVersion
        read(store, None)
        await asyncio.sleep(0)

        assert (await little.nodes())[NODE].metadata.resourceVersion == version


async def test_a_label_changed_by_hand_is_put_right():
    """The plugin looks at its node every minute: what it sees wrong it corrects."""
    little = await Little.started()
    await little.node(NODE)
    async with labelling(little) as store:
        read(store, CLIQUE)
        await shows(little, CLIQUE)
        await little.hands.patch(kinds.NODES, NODE, {"metadata": {"labels": {names.GPU_CLIQUE_LABEL: "wrong"}}})
        store.put(kinds.NODES, (await little.nodes())[NODE])
        await shows(little, CLIQUE)


async def test_a_failure_is_tried_again():
    """An API server that is away for a while ends nothing."""
    little = await Little.started()
    await little.node(NODE)
    async with labelling(little, _Away(little.client("plugin"))) as store:
        read(store, CLIQUE)
        await shows(little, CLIQUE)


class _Away:
    """A cluster whose first two answers do not arrive."""

    def __init__(self, cluster):
        self.cluster, self.left = cluster, 2

    async def get(self, *words, **more):
        return await self.cluster.get(*words, **more)

    async def patch(self, *words, **more):
        if self.left:
            self.left -= 1
            raise Again("away")
        return await self.cluster.patch(*words, **more)


@pytest.mark.parametrize("known", [True, False])
async def test_nothing_is_written_that_is_so(known: bool):
    """A label that is right already, by whoever's hand, costs no request."""
    little = await Little.started()
    await little.node(NODE, gfd=CLIQUE)
    version = (await little.nodes())[NODE].metadata.resourceVersion
    store = Store(lambda _: None)
    client = little.client("plugin")
    part = CliqueLabel(client, store, OwnNode(client, store, NODE))
    if known:
        read(store, CLIQUE)
    await part.settle()

    assert (await little.nodes())[NODE].metadata.resourceVersion == version
