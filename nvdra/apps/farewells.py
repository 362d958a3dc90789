"""ComputeDomains deleted under workloads: those that stay are named, those that were deleted with it are not."""

import asyncio
import logging
from collections.abc import Sequence

from attrs import define, field

from nvdra.adapters.looptime import loop_time
from nvdra.api import names
from nvdra.api.kind import Kind
from nvdra.api.resources import ResourceClaim
from nvdra.errors import Again, NvdraError
from nvdra.ports import Announcer, Cluster, Subject

log = logging.getLogger(__name__)

GRACE = 7.0
"""Seconds: pods that were deleted in the same breath have ended by then, or take long enough to be told of it."""
MOST_NAMED = 10
"""So many workloads are named, and told, when their domain is deleted."""
ATTEMPTS = 5
ASK_AGAIN = 1.0


@define(eq=False)
class Farewells:
    """Asks late, and once, who holds claims of a deleted domain: those that end do still, and pods we cannot read."""

    cluster: Cluster
    claims: Kind[ResourceClaim]
    announcer: Announcer
    _due: asyncio.Queue[tuple[float, Subject]] = field(factory=asyncio.Queue, init=False)
    _pending: set[str] = field(factory=set, init=False)

    def deleted(self, domain: Subject) -> None:
        """Nodes are taken from it. Said at every look, heard once."""
        if domain.uid not in self._pending:
            self._pending.add(domain.uid)
            self._due.put_nowait((loop_time() + GRACE, domain))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            due, domain = await self._due.get()
            await asyncio.sleep(max(0.0, due - loop_time()))
            try:
                self._tell(domain, await self._users(domain))
            except NvdraError as error:
                log.warning("whether ComputeDomain %s was deleted in use is not known: %s", domain.name, error)
            self._pending.discard(domain.uid)

    async def _users(self, domain: Subject) -> dict[str, str]:
        """Pods by name that hold a claim which nobody has deleted, with their uids."""
        claims = await self._claims(domain, ATTEMPTS)
        living = [claim for claim in claims if not claim.metadata.deleting]
        return {user.name: user.uid for claim in living for user in claim.status.reservedFor}

    async def _claims(self, domain: Subject, attempts: int) -> Sequence[ResourceClaim]:
        labels = f"{names.DOMAIN_LABEL}={domain.uid}"
        try:
            return (await self.cluster.list(self.claims, domain.namespace, labels=labels)).items
        except Again as error:
            if attempts == 1:
                raise
            await asyncio.sleep(error.after or ASK_AGAIN)
        return await self._claims(domain, attempts - 1)

    def _tell(self, domain: Subject, users: dict[str, str]) -> None:
        if not users:
            return
        text = (
            f"ComputeDomain {domain.name} was deleted while in use: {', '.join(sorted(users)[:MOST_NAMED])} have lost"
            " their IMEX daemons; if they do not end by themselves, end them: nothing can give them their domain back"
        )
        pods = [Subject("v1", "Pod", name, domain.namespace, uid) for name, uid in sorted(users.items())]
        for about in (domain, *pods[:MOST_NAMED]):
            self.announcer.tell(about, "ComputeDomainDeletedInUse", text, warning=True)
