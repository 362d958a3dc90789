import asyncio

import pytest

from nvdra.sim.scale.place import Place


@pytest.fixture
async def place():
    """The embedded API server as a process of its own."""
    async with Place() as place:
        yield place
        await asyncio.sleep(0)


@pytest.fixture
def say():
    return lambda _: None
