"""Leader election on a Lease: at most one leader, by each one's own steady clock; nobody's wall clock is trusted.

A leader may lead for `renew_seconds` after it *sent* its last good write; others wait `lease_seconds` after they
*saw* that write. The difference is the time that the work has to stop.
"""

import asyncio
import contextlib
import logging
import math
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from attrs import define, field, frozen

from nvdra.adapters.looptime import a_generator, loop_time
from nvdra.api.kinds import LEASES
from nvdra.api.objects import Lease
from nvdra.errors import Again, AlreadyExists, Conflict, NotFound, NvdraError
from nvdra.ports import Cluster, Json

_log = logging.getLogger(__name__)

TRIES = 2
"""So many tries must fit into the time to renew: one may hang on a connection that died without a word."""

Work = Callable[[], Awaitable[None]]


class LeadershipLost(NvdraError):
    """Somebody else leads now, or may at any moment; the work has been stopped."""


@frozen
class Terms:
    """The times of an election. A leader that cannot renew stops before anybody may follow it."""

    lease_seconds: int = 15
    renew_seconds: float = 10.0
    retry_seconds: float = 2.0

    def __attrs_post_init__(self) -> None:
        """Times in another order would let two lead."""
        if not 0 < self.retry_seconds < self.renew_seconds < self.lease_seconds:
            raise ValueError(f"{self}: retry must be shorter than renew, and renew shorter than lease")


def identity_of(pod: str) -> str:
    """`<pod>-<uuid>`: a restarted container is somebody else."""
    return f"{pod}-{uuid.UUID(int=random.getrandbits(128), version=4)}"


@define(eq=False)
class Election:
    """One candidate. Give it a client of its own: a renewal must not queue behind a burst of other requests.

    `leader` is who holds the Lease as far as we saw; `lost` tells that we led and had to stop.
    """

    cluster: Cluster
    name: str
    namespace: str
    identity: str
    terms: Terms = field(factory=Terms)
    clock: Callable[[], float] = field(default=loop_time, kw_only=True)
    wall: Callable[[], float] = field(default=time.time, kw_only=True)
    rng: random.Random = field(factory=a_generator, kw_only=True)
    leading: bool = field(default=False, init=False)
    lost: bool = field(default=False, init=False)
    trouble: str = field(default="", init=False)
    _lease: Lease | None = field(default=None, init=False)
    _outdated: bool = field(default=False, init=False)
    _seen_at: float = field(default=0.0, init=False)
    _good_until: float = field(default=0.0, init=False)

    @property
    def leader(self) -> str:
        """The holder's identity, "" when nobody holds it."""
        return (self._lease.spec.holderIdentity or "") if self._lease is not None else ""

    async def lead(self, work: Work) -> None:
        """Wait for our turn, then work for as long as we lead. Raises LeadershipLost; else the Lease is released."""
        self.lost = False
        while not await self._try(self.terms.renew_seconds / TRIES):
            await self._pause()
        self.leading = True
        _log.info("leading as %s", self.identity)
        try:
            await self._work_while_leading(work)
        finally:
            self.leading = False
            if not self.lost:
                await self._release()

    async def _work_while_leading(self, work: Work) -> None:
        tasks = (asyncio.ensure_future(work()), asyncio.ensure_future(self._keep()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.lost = tasks[1].done()
            await _stopped(tasks)
        if self.lost:
            raise LeadershipLost(f"lease {self.namespace}/{self.name}: {self.trouble or f'{self.leader} leads now'}")
        tasks[0].result()

    async def _keep(self) -> None:
        """Renew until that fails for too long, or somebody else holds the Lease."""
        spent = 0.0
        while True:
            await self._pause(self._good_until - self.clock(), spent)
            began = self.clock()
            left = self._good_until - began
            if left <= 0 or (
                not await self._try(min(left, self.terms.renew_seconds / TRIES)) and self._held_by_other()
            ):
                return
            spent = self.clock() - began

    async def _try(self, seconds: float) -> bool:
        """One look and one write, in so many seconds at most. True when the Lease is ours by now."""
        try:
            async with asyncio.timeout(seconds):
                return await self._acquire_or_renew()
        except TimeoutError:
            self.trouble = f"the API server did not answer within {seconds:.1f} s"
        except (Conflict, AlreadyExists):
            self.trouble = "somebody else wrote the lease at the same time"
            self._outdated = True
        except NotFound as error:
            self.trouble = f"somebody deleted the lease: {error}"
            self._outdated = True  # it is made anew, or another stands in it by now
        except Again as error:
            self.trouble = str(error)
        return False

    async def _acquire_or_renew(self) -> bool:
        if not self.leading or self._outdated:
            await self._look()
        if self._lease is not None and self._held_by_other() and not self._expired():
            self.trouble = ""
            return False
        sent = self.clock()
        body = self._body()
        if self._lease is None:
            written = await self.cluster.create(LEASES, body, self.namespace)
        else:
            written = await self.cluster.replace(LEASES, self.name, body, self.namespace)
        self._lease, self._seen_at, self._good_until = written, sent, sent + self.terms.renew_seconds
        self.trouble = ""
        return True

    async def _look(self) -> None:
        """What matters is when *we* last saw the Lease change."""
        self._outdated = False
        try:
            lease = await self.cluster.get(LEASES, self.name, self.namespace)
        except NotFound:
            self._lease = None
            return
        if self._lease is None or _record(lease) != _record(self._lease):
            self._seen_at = self.clock()
        self._lease = lease

    def _held_by_other(self) -> bool:
        return self.leader not in {"", self.identity}

    def _expired(self) -> bool:
        assert self._lease is not None
        seconds = self._lease.spec.leaseDurationSeconds or self.terms.lease_seconds
        return self.clock() - self._seen_at > seconds

    def _body(self) -> Json:
        """Ours from now on; the time of acquisition and the count change with the holder only."""
        now = self._now()
        old = self._lease.spec if self._lease is not None else None
        mine = old is not None and old.holderIdentity == self.identity
        transitions = (old.leaseTransitions or 0) if old is not None else 0
        return self._manifest(
            {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": self.terms.lease_seconds,
                "acquireTime": (old.acquireTime or now) if mine and old is not None else now,
                "renewTime": now,
                "leaseTransitions": transitions if mine or old is None else transitions + 1,
            }
        )

    def _manifest(self, spec: Json) -> Json:
        meta: Json = {"name": self.name, "namespace": self.namespace}
        if self._lease is not None:
            was = self._lease.metadata
            kept = {"labels": was.labels, "annotations": was.annotations}
            meta |= {"resourceVersion": was.resourceVersion} | {key: value for key, value in kept.items() if value}
        return {"metadata": meta, "spec": spec}

    async def _release(self) -> None:
        """Nobody has to wait for the rest of our time. A failure costs them just that."""
        if self._lease is None or self.leader != self.identity:
            return
        spec: Json = {
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "acquireTime": self._now(),
            "renewTime": self._now(),
            "leaseTransitions": self._lease.spec.leaseTransitions or 0,
        }
        with contextlib.suppress(Again, TimeoutError):
            async with asyncio.timeout(self.terms.retry_seconds):
                self._lease = await self.cluster.replace(LEASES, self.name, self._manifest(spec), self.namespace)
                _log.info("released the lease %s/%s", self.namespace, self.name)

    async def _pause(self, longest: float = math.inf, spent: float = 0.0) -> None:
        """From the beginning of one try, which took `spent` seconds, to the next."""
        await asyncio.sleep(max(0.0, min(longest, self.terms.retry_seconds * self.rng.uniform(0.8, 1.2) - spent)))

    def _now(self) -> str:
        return datetime.fromtimestamp(self.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _record(lease: Lease) -> tuple[object, ...]:
    return (lease.metadata.uid, lease.metadata.resourceVersion, lease.spec)


async def _stopped(tasks: tuple[asyncio.Future[None], ...]) -> None:
    """Cancelled, and really ended: who leads next must not meet us still at work, however impatient our caller is."""
    for task in tasks:
        task.cancel()
    impatient: asyncio.CancelledError | None = None
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            impatient = error
    for task in tasks:
        if not task.cancelled():
            task.exception()
    if impatient is not None:
        raise impatient
