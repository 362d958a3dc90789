import asyncio
import contextlib

import pytest
from attrs import define, field

from nvdra.apps.controller import Controller, ControllerSettings
from nvdra.domains.compute_domain.manifests import DaemonSettings
from tests.builders import Little
from tests.virtual_time import wall


@define(eq=False)
class Run:
    """A controller that runs in a little cluster."""

    little: Little
    controller: Controller
    task: asyncio.Task = field(init=False)

    def __attrs_post_init__(self):
        self.task = asyncio.create_task(self.controller.run())

    @property
    def engine(self):
        return self.controller.engine

    async def stop(self):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@pytest.fixture
def controlling():
    """Starts a controller: the whole process, except that its API server is in the same loop."""

    def start(little, max_nodes=18, workers=4, agent="controller", cluster=None, **daemons):
        settings = ControllerSettings(workers=workers, daemons=DaemonSettings(max_nodes=max_nodes, **daemons))
        return Run(little, Controller(cluster or little.client(agent), settings, wall=wall))

    return start
