"""Small things told: a pod, a claim, an Event, a condition, and since when. Pure."""

from collections.abc import Iterable, Iterator

from nvdra.api import names
from nvdra.api.computedomain import ComputeDomain
from nvdra.api.membership import container_trouble
from nvdra.api.meta import Condition
from nvdra.api.objects import Event, Pod
from nvdra.api.resources import ResourceClaim
from nvdra.explain.account import ConditionTold, EventTold, NodeTold, PodTold


def stands(pod: Pod) -> str:
    """How a pod stands, and why it is no further, as far as its own status says."""
    note = pod.metadata.annotations.get(names.NOTE_ANNOTATION, "")
    troubles = [container_trouble(status) for status in pod.status.containerStatuses if not status.ready]
    tells = note.startswith(names.WORRY) if pod.ready else note and not note.startswith((names.WOKEN, names.WORRY))
    if tells and names.DOMAIN_LABEL in pod.metadata.labels:
        troubles.insert(0, note)
    unscheduled = next((c for c in pod.status.conditions if c.type == "PodScheduled" and c.status == "False"), None)
    if unscheduled is not None:
        troubles.append(unscheduled.message or unscheduled.reason)
    word = "going away" if pod.metadata.deleting else "ready" if pod.ready else pod.status.phase or "Pending"
    why = next(filter(None, troubles), "")
    return f"{word}: {why}" if why else word


def since_ready(pod: Pod) -> str:
    """Since when a pod is ready; "" while it is not: Events from before are history."""
    return next((c.lastTransitionTime or "" for c in pod.status.conditions if c.type == "Ready" and pod.ready), "")


def claim_told(claim: ResourceClaim) -> str:
    """A claim and what was allocated to it."""
    allocation = claim.status.allocation
    devices = [f"{r.device} of {r.pool}" for r in allocation.devices.results] if allocation else []
    return f"ResourceClaim {claim.metadata.path}: {', '.join(devices) or 'not allocated yet'}"


def event_told(event: Event) -> EventTold:
    """An Event, as it is shown."""
    return EventTold(
        event.reason, event.message, event.at, event.teller, event.count or 1, warning=event.type == "Warning"
    )


def condition_told(condition: Condition) -> ConditionTold:
    """A condition, as it is shown."""
    return ConditionTold(
        condition.type, condition.status, condition.reason, condition.message, condition.lastTransitionTime or ""
    )


def since(domain: ComputeDomain, ready: Condition | None) -> str:
    """Since when it is what it is: its deletion, else the condition Ready, else its creation."""
    meta = domain.metadata
    if meta.deletionTimestamp:
        return meta.deletionTimestamp
    return (ready.lastTransitionTime if ready is not None else None) or meta.creationTimestamp or ""


def texts_of(
    waits: str,
    conditions: Iterable[ConditionTold],
    nodes: Iterable[NodeTold],
    unplaced: Iterable[PodTold],
    events: Iterable[EventTold],
) -> Iterator[str]:
    """All that names a cause. Pods that are well, and Events that told of something good, name none."""
    yield waits
    yield from (condition.message for condition in conditions if condition.status != "True")
    for node in nodes:
        yield from (node.stands, node.plugin)
        for pod in (*node.daemons, *node.workers):
            yield from _of_pod(pod)
    for pod in unplaced:
        yield from _of_pod(pod)
    yield from (event.message for event in events if event.warning)


def _of_pod(pod: PodTold) -> Iterator[str]:
    """How it stands, and what each teller said last: what was said before may be over."""
    if pod.stands != "ready":
        yield pod.stands
    newest: dict[str, str] = {}
    for event in pod.events:
        newest.setdefault(event.teller, event.message)
    yield from newest.values()
