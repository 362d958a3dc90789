"""The watches of rosters on a node."""

import asyncio

import pytest

from nvdra.api.local import CALLS, READINGS, Call
from nvdra.apps.rosters import RosterWatches
from nvdra.engine.store import Store
from tests.nodes import reading
from tests.virtual_time import virtually


class Defective:
    """A connection with a defect of ours in it."""

    async def list(self, *_, **__):
        raise RuntimeError("a defect")


@virtually
async def test_no_watch_ends_in_silence():
    """A watch that a defect has ended is not missed for ever by the workers that wait for it: the process ends too."""
    store = Store(lambda _: None)
    watches = RosterWatches(Defective(), store, "own")
    store.put(READINGS, reading())
    store.put(CALLS, Call("u", "default", "c", domain="d"))
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(60):
            await watches.run()
    assert caught.group_contains(RuntimeError, match="a defect")
