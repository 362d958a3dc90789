"""What a waiting worker's pod is told: the kubelet shows our answer at its next try only, we a new reason at once."""

from attrs import define, field, frozen

from nvdra.domains.channel_claim.snapshot import ChannelClaimSnapshot
from nvdra.engine.domain import Told
from nvdra.errors import Later
from nvdra.ports import Announcer, Subject

CALM = 2.0
"""Seconds between two Events of ours about one claim."""


@define(eq=False)
class Memory:
    """What each claim's pods were last told, and when. Losing it costs an Event."""

    said: dict[str, tuple[str, float]] = field(factory=dict)

    def answered(self, uid: str, text: str, now: float) -> None:
        """The kubelet has this answer, and shows it."""
        self.said[uid] = (text, now)


@frozen(eq=False)
class PodVoice:
    """The report of a channel claim: an Event on its pods when the reason of a wait has changed."""

    announcer: Announcer
    memory: Memory = field(factory=Memory)

    async def report(self, seen: ChannelClaimSnapshot, told: Told) -> None:
        if told.word or seen.record is None or not told.holds("wanted"):
            self.memory.said.pop(seen.uid, None)
            return
        before = self.memory.said.get(seen.uid)
        text = told.explanation
        if before is None or before[0] == text:
            return
        if seen.now - before[1] < CALM:
            raise Later("something was said just now", after=before[1] + CALM - seen.now)
        self.memory.said[seen.uid] = (text, seen.now)
        for pod in seen.record.pods:
            about = Subject("v1", "Pod", pod.name, seen.record.namespace, pod.uid)
            self.announcer.tell(about, "WaitingForComputeDomain", text, warning=bool(told.troubles))
