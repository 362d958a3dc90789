"""The node's disk at a plugin's start: while it cannot be read nobody is served, and those who wait are told."""

import asyncio
import logging

from attrs import define

from nvdra.adapters.kube.backoff import Backoff
from nvdra.adapters.looptime import a_generator
from nvdra.apps.bystanders import Bystanders
from nvdra.apps.recovery import Recovery
from nvdra.errors import Again
from nvdra.ports import Announcer, Subject

log = logging.getLogger(__name__)

PAUSES = (1.0, 15.0)
"""Seconds between two looks: a process that ended instead would be started again after up to five minutes."""
WAY_OUT = (
    "look at that disk (dmesg, df, and what is mounted there); the driver serves no claim of this node until it can be"
    " read, tries again by itself, and what runs goes on running"
)


@define(eq=False)
class FirstLook:
    """Reads the disk once, however long that takes."""

    recovery: Recovery
    bystanders: Bystanders
    announcer: Announcer

    async def take(self) -> None:
        """Return when records, CDI files and folders are read, and what is left over is gone."""
        backoff, said = Backoff(*PAUSES, a_generator()), ""
        while True:
            try:
                self.recovery.from_disk()
            except Again as error:
                text = f"{error}: {WAY_OUT}"
                if text != said:
                    log.warning("%s", text)
                    node = self.recovery.node.name
                    self.announcer.tell(Subject("v1", "Node", node, uid=node), "NodeDiskUnusable", text, warning=True)
                    said = text
                await self.bystanders.tell_waiting("NodeDiskUnusable", text)
                await asyncio.sleep(backoff.next())
            else:
                if said:
                    log.info("the node's disk can be read again")
                return
