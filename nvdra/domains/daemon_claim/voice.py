"""Why a daemon's claim is not prepared, on its pod: the controller and the other nodes read it there."""

from attrs import define, field, frozen

from nvdra.api import kinds, names
from nvdra.domains.daemon_claim.snapshot import DaemonClaimSnapshot
from nvdra.engine.domain import Told
from nvdra.errors import Conflict, Later, NotFound
from nvdra.ports import Cluster, Json

PATIENCE = 2.0
"""A claim that is prepared sooner says nothing: that is how it goes."""


@define(eq=False)
class Memory:
    """Since when each claim waits, and what its pods say of it. Losing it costs a patch."""

    since: dict[str, float] = field(factory=dict)
    said: dict[str, str] = field(factory=dict)


@frozen(eq=False)
class PodVoice:
    """The report of a daemon claim. Once it is prepared the daemon speaks for itself, by its status file."""

    cluster: Cluster
    memory: Memory = field(factory=Memory)

    async def report(self, seen: DaemonClaimSnapshot, told: Told) -> None:
        if told.word or told.leaf.final or not told.holds("wanted"):
            self.memory.since.pop(seen.uid, None)
            await self._say(seen, "")
            return
        since = self.memory.since.setdefault(seen.uid, seen.now)
        if seen.now < since + PATIENCE:
            raise Later("the claim is being prepared", after=since + PATIENCE - seen.now)
        await self._say(seen, told.explanation)

    async def _say(self, seen: DaemonClaimSnapshot, text: str) -> None:
        known = seen.record or seen.call
        if known is None or self.memory.said.get(seen.uid, "") == text:
            return
        for pod in known.pods:
            patch: Json = {"metadata": {"uid": pod.uid, "annotations": {names.NOTE_ANNOTATION: text or None}}}
            try:
                await self.cluster.patch(kinds.PODS, pod.name, patch, known.namespace)
            except (NotFound, Conflict):
                continue
        if text:
            self.memory.said[seen.uid] = text
        else:
            self.memory.said.pop(seen.uid, None)
