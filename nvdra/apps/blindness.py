"""What the controller cannot see is said on the ComputeDomains that it therefore cannot serve."""

import asyncio
from collections.abc import Sequence
from typing import Any

from attrs import define, field

from nvdra.adapters.kube.reflector import Reflector
from nvdra.api import kinds
from nvdra.api.computedomain import ComputeDomain
from nvdra.engine.store import Store
from nvdra.ports import Announcer, Subject

LOOK_EVERY = 1.0
PATIENCE = 3
"""So many looks in a row: a watch that breaks is made anew within a second or two."""
MOST_TOLD = 50


@define(eq=False)
class Blindness:
    """Looks at the reflectors. Where even ComputeDomains cannot be listed there is nobody to tell: /readyz says it."""

    reflectors: Sequence[Reflector[Any]]
    store: Store
    announcer: Announcer
    _late: dict[str, int] = field(factory=dict, init=False)
    _told: set[tuple[str, str]] = field(factory=set, init=False)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.look()

    def look(self) -> None:
        """Count who is late, and tell."""
        self._late = {r.kind.plural: self._late.get(r.kind.plural, 0) + 1 for r in self.reflectors if r.trouble}
        troubles = [
            f"{r.kind.plural} ({r.trouble})" for r in self.reflectors if self._late.get(r.kind.plural, 0) >= PATIENCE
        ]
        if not troubles:
            self._told.clear()
            return
        text = f"the controller cannot see {'; '.join(troubles)}"
        waiting = [domain for domain in self.store.all(kinds.COMPUTE_DOMAINS) if domain.status.status != "Ready"]
        for domain in waiting[:MOST_TOLD]:
            if (domain.metadata.uid, text) not in self._told:
                self._told.add((domain.metadata.uid, text))
                self.announcer.tell(_subject(domain), "ControllerBlind", text, warning=True)


def _subject(domain: ComputeDomain) -> Subject:
    meta = domain.metadata
    return Subject(kinds.COMPUTE_DOMAINS.api_version, "ComputeDomain", meta.name, meta.namespace, meta.uid)
