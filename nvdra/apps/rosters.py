"""The only objects of a domain that a node watches: one roster for each domain that has a claim here."""

import asyncio
from typing import Any

from attrs import define, field

from nvdra.adapters.kube.reflector import Reflector
from nvdra.api import kinds, names
from nvdra.api.local import CALLS, READINGS, RECORDS
from nvdra.engine.queue import Key
from nvdra.engine.store import Store
from nvdra.ports import Cluster


@define(eq=False)
class RosterWatches:
    """Keeps one watch for each roster that some claim of this node needs, and none other."""

    cluster: Cluster
    store: Store
    namespace: str
    _wake: asyncio.Event = field(factory=asyncio.Event)
    _tasks: dict[str, asyncio.Task[None]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Claims that come and go change what is needed."""
        for sort in (CALLS, RECORDS, READINGS):
            self.store.concern(sort, self._changed)

    async def run(self) -> None:
        """Follow until cancelled. A watch that a defect ends takes us along: its workers would wait for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._adjust(group)
                await self._wake.wait()
                self._wake.clear()

    def needed(self) -> set[str]:
        """Names of rosters: those of recorded claims, and of claims that are about to be."""
        reading = self.store.get(READINGS, "node")
        found = {names.roster_name(r.domain, r.clique) for r in self.store.all(RECORDS) if r.kind == "channel"}
        for call in self.store.all(CALLS):
            recorded = self.store.get(RECORDS, call.uid) is not None
            if call.kind == "channel" and call.wanted and not recorded and reading and reading.clique.known:
                found.add(names.roster_name(call.domain, reading.clique.id))
        return found

    def _changed(self, _: Any) -> list[Key]:
        self._wake.set()
        return []

    def _adjust(self, group: asyncio.TaskGroup) -> None:
        needed = self.needed()
        for name in sorted(needed - set(self._tasks)):
            reflector = Reflector(
                self.cluster, kinds.ROSTERS, self.store, namespace=self.namespace, fields=f"metadata.name={name}"
            )
            self._tasks[name] = group.create_task(reflector.run())
        for name in sorted(set(self._tasks) - needed):
            self._tasks.pop(name).cancel()
            for roster in self.store.all(kinds.ROSTERS):
                if roster.metadata.name == name:
                    self.store.drop(kinds.ROSTERS, roster)
