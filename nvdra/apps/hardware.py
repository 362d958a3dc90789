"""Looking at this node again and again: NVML, proc files, the daemons' status files; and publishing what was seen."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path

import attrs
from attrs import define, field

from nvdra.adapters.cdi import CdiFolder
from nvdra.adapters.looptime import loop_time
from nvdra.adapters.slices import SlicePublisher
from nvdra.api import names
from nvdra.api.fabric import clique_of
from nvdra.api.local import (
    CLAIM_CDI_KIND,
    DAEMON_STATUSES,
    DISK_SPECS,
    FOLDERS,
    READINGS,
    DaemonStatus,
    DiskSpec,
    NodeReading,
)
from nvdra.api.membership import CLIQUE_ATTRIBUTE
from nvdra.api.resources import Attribute, Device
from nvdra.engine.store import Store
from nvdra.errors import NvdraError
from nvdra.node import Nvml, ProcDevices
from nvdra.ports import Files

log = logging.getLogger(__name__)

LONGEST_REASON = 2000
UNREGISTERED_EVERY = 0.1
"""Seconds between two questions whether the kubelet has registered us: devices are published at once then."""


@define(eq=False)
class Probe:
    """Looks every `every` seconds, and at once when asked: a driver that comes late needs no restart of ours."""

    nvml: Nvml
    proc: ProcDevices
    store: Store
    slices: SlicePublisher
    registered: Callable[[], bool]
    every: float = 5.0
    _now: asyncio.Event = field(factory=asyncio.Event)
    _driver: str = ""

    def at_once(self) -> None:
        """Look again without waiting."""
        self._now.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await self._until_next()
            self._now.clear()

    async def _until_next(self) -> None:
        """A look opens and closes NVML: until the kubelet knows us, only that is asked more often than ever."""
        known, end = self.registered(), loop_time() + self.every
        while (left := end - loop_time()) > 0 and self.registered() == known:
            try:
                async with asyncio.timeout(left if known else min(left, UNREGISTERED_EVERY)):
                    await self._now.wait()
            except TimeoutError:
                continue
            return

    async def look(self) -> None:
        """One look, stored and published when it differs from the last."""
        found = await self.nvml.read()
        reading = NodeReading(clique_of(found), found.driver_version, self.proc.read())
        before = self.store.get(READINGS, "node")
        if before is None or before.clique != reading.clique:
            log.info("this node: %s", reading.clique.because, extra={"kind": "node"})
        if reading.driver and reading.driver != self._driver:
            log.info(
                "this node: driver %s%s",
                reading.driver,
                f", before {self._driver}" if self._driver else "",
                extra={"kind": "node"},
            )
            self._driver = reading.driver
        self.store.put(READINGS, reading)
        if not self.registered():
            return  # a pod that the kubelet cannot prepare yet would wait a minute and more for its next try
        self.slices.publish(devices_of(reading))


def devices_of(reading: NodeReading) -> tuple[Device, ...]:
    """channel-0 and daemon-0 (reference-driver.md §6.2), with the node's clique as far as it is known."""
    return tuple(Device(name=f"{kind}-0", attributes=_attributes(kind, reading)) for kind in ("channel", "daemon"))


def _attributes(kind: str, reading: NodeReading) -> dict[str, Attribute]:
    attributes = {"type": Attribute(string=kind), "id": Attribute(int=0)}
    if reading.clique.known and kind == "channel":
        attributes[CLIQUE_ATTRIBUTE] = Attribute(string=reading.clique.id or names.NO_FABRIC)
    return attributes


@define(eq=False)
class StatusFiles:
    """What the IMEX daemons of this node write into their domain's folder; they write nothing to the API."""

    files: Files
    store: Store
    domains: Path
    every: float = 0.5

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for folder in self.store.all(FOLDERS):
                self._read(folder.domain)
            await asyncio.sleep(self.every)

    def _read(self, domain: str) -> None:
        try:
            content = self.files.read(self.domains / domain / "status.json")
            found = json.loads(content) if content else {}
        except (NvdraError, ValueError, RecursionError):
            return  # half a file cannot be: it is renamed into place; an unreadable one says nothing
        if isinstance(found, dict) and found:
            status = DaemonStatus(
                domain=domain,
                state=str(found.get("state", "")),
                ready=found.get("ready") is True,
                reason=str(found.get("reason", ""))[:LONGEST_REASON],
                awaited=found.get("awaited") is True,
            )
            self.store.put(DAEMON_STATUSES, status)


@define(eq=False)
class CdiFiles:
    """Our CDI files as they are on disk: what somebody removes or changes there is seen, and so written again."""

    cdi: CdiFolder
    store: Store
    every: float = 2.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for known in self.store.all(DISK_SPECS):
                self._look(known)
            await asyncio.sleep(self.every)

    def _look(self, known: DiskSpec) -> None:
        try:
            spec = self.cdi.read(CLAIM_CDI_KIND, known.uid)
        except NvdraError as error:
            log.warning("%s", error)
            return
        if spec is None:
            log.warning("the CDI file of claim %s is gone or is not as we wrote it", known.uid)
            self.store.drop(DISK_SPECS, known)
        elif spec != known.spec:
            self.store.put(DISK_SPECS, attrs.evolve(known, spec=spec))
