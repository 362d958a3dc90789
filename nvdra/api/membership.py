"""Who has joined a ComputeDomain, who of them is ready, and what is waited for. Pure."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from attrs import field, frozen

from nvdra.api import names
from nvdra.api.meta import Condition
from nvdra.api.objects import ContainerStatus, Node, Pod
from nvdra.api.resources import ResourceSlice

CLIQUE_ATTRIBUTE = "clique"
"""On channel-0 of a node's ResourceSlice: the plugin's own NVML reading. Absent while it is not known."""

MAKE_ROOM = "make room for it there, or let it ask for less (chart value imexDaemons.resources.requests)"
CHECK_IMAGE = "check the driver's image and its pull secrets"
WAITING = "WaitingForNodes"
"""Reason of a domain that has not formed: nodes are missing, or have just come."""
IN_TROUBLE = "NodesInTrouble"
"""Reason of a domain that has not formed: some node is late for another reason."""
_NO_POD = "has no IMEX daemon pod yet"
_STARTING = "has an IMEX daemon that is starting"
NAMED = 3
"""So many nodes are named; the others are counted."""


@frozen
class Member:
    """One node that carries the domain's label; `claim` tells its stays apart. `why`: a clause, why it is not ready."""

    name: str
    clique: str
    ready: bool
    address: str = ""
    why: str = ""
    pod: str = ""
    trouble: str = ""
    claim: str = ""
    namespace: str = field(default="", eq=False)
    """The daemon pod's."""
    worry: str = ""
    """What a ready daemon says all the same: whom it does not reach."""

    @property
    def source(self) -> str:
        """The object that says how it stands, and the field of it."""
        if not self.pod:
            return f"Node {self.name} metadata.labels"
        where = f"{self.namespace}/{self.pod}" if self.namespace else self.pod
        return f"Pod {where} status.conditions[Ready]"

    @property
    def in_trouble(self) -> bool:
        """It is not ready, and not because it has just come."""
        return not self.ready and not self.why.startswith((_NO_POD, _STARTING))

    @property
    def fabric(self) -> bool:
        """It has a clique, so an IMEX daemon runs on it."""
        return bool(self.clique)


def joining_patch(uid: str, claim: str, clique: str, before: str | None) -> list[dict[str, object]]:
    """JSON patch: the domain's labels on a node that carried `before` until now (None: nobody's).

    A `test` of null passes on a missing label: tried on real API servers.
    """
    patch: list[dict[str, object]] = [
        {"op": "test", "path": names.label_pointer(names.DOMAIN_LABEL), "value": before},
        {"op": "add", "path": names.label_pointer(names.DOMAIN_LABEL), "value": uid},
        {"op": "add", "path": names.label_pointer(names.JOIN_LABEL), "value": claim},
    ]
    if clique:
        patch.append({"op": "add", "path": names.label_pointer(names.CLIQUE_LABEL), "value": clique})
    return patch


def leaving_patch(uid: str) -> list[dict[str, object]]:
    """JSON patch: the domain's labels off a node, if it is that domain's still."""
    domain = names.label_pointer(names.DOMAIN_LABEL)
    patch: list[dict[str, object]] = [{"op": "test", "path": domain, "value": uid}, {"op": "remove", "path": domain}]
    for label in (names.CLIQUE_LABEL, names.JOIN_LABEL):  # added first, so that removing is right where one is missing
        pointer = names.label_pointer(label)
        patch += [{"op": "add", "path": pointer, "value": ""}, {"op": "remove", "path": pointer}]
    return patch


def joined_clique(node: Node) -> str:
    """The clique a node joined with: the plugin wrote it beside the domain's label, from the reading it publishes."""
    return node.metadata.labels.get(names.CLIQUE_LABEL, "")


def published_clique(published: ResourceSlice | None) -> str | None:
    """The clique in a node's ResourceSlice; "" is no fabric, None is not known."""
    for device in published.spec.devices if published else ():
        attribute = device.attribute(CLIQUE_ATTRIBUTE)
        if attribute and attribute.string is not None:
            return "" if attribute.string == names.NO_FABRIC else attribute.string
    return None


def members_of(
    nodes: Iterable[Node], pods: Iterable[Pod], published: Callable[[str], ResourceSlice | None]
) -> tuple[Member, ...]:
    """How the joined nodes stand, by name."""
    by_node: dict[str, list[Pod]] = {}
    for pod in pods:
        by_node.setdefault(pod.node, []).append(pod)
    found = (member_of(node, published(node.metadata.name), by_node.get(node.metadata.name, ())) for node in nodes)
    return tuple(sorted(found, key=lambda member: member.name))


def member_of(node: Node, published: ResourceSlice | None, pods: Iterable[Pod]) -> Member:
    """How a joined node stands, from its labels, its ResourceSlice and the domain's daemon pods."""
    name, clique = node.metadata.name, joined_clique(node)
    trouble = _clique_trouble(node, published, clique)
    claim = node.metadata.labels.get(names.JOIN_LABEL, "")
    if not clique:
        return Member(name, clique, ready=True, trouble=trouble, claim=claim)
    pod = _current(pods, name)
    if pod is None:
        return Member(name, clique, ready=False, why=_NO_POD, trouble=trouble, claim=claim)
    ready = pod.ready and not pod.metadata.deleting
    why = "" if ready else _why_not_ready(pod)
    meta, note = pod.metadata, pod.metadata.annotations.get(names.NOTE_ANNOTATION, "")
    worry = note if ready and note.startswith(names.WORRY) else ""
    return Member(name, clique, ready, pod.status.podIP, why, meta.name, trouble, claim, meta.namespace, worry)


def sources_of(members: Iterable[Member]) -> str:
    """Where it stands how these do: the first few, for a large domain has thousands."""
    return ", ".join(member.source for member in islice(members, NAMED))


def late_of(members: Iterable[Member]) -> list[Member]:
    """Who is not ready, troubles first: of many only a few are named, and those that have just come are no news."""
    return sorted((member for member in members if not member.ready), key=lambda member: not member.in_trouble)


def waiting_text(wanted: int, members: Sequence[Member]) -> str:
    """What a domain that has not formed waits for, troubles first; "" when nothing."""
    ready = sum(member.ready for member in members)
    late = late_of(members)
    missing = max(0, wanted - len(members))
    if not late and not missing:
        return ""
    total = max(wanted, len(members))
    parts = [f"{member.name} {member.why}" for member in late[:NAMED]]
    parts += [f"{len(late) - NAMED} more are not ready"] if len(late) > NAMED else []
    parts += [f"{missing} of {wanted} nodes {'has' if missing == 1 else 'have'} not joined"] if missing else []
    return f"waiting for {total - ready} of {total} nodes: {'; '.join(parts)}"


def _current(pods: Iterable[Pod], node: str) -> Pod | None:
    """The daemon pod of a node: one that is not going away, if there is one."""
    here = [pod for pod in pods if pod.node == node]
    return min(here, key=lambda pod: (pod.metadata.deleting, pod.metadata.name), default=None)


def _clique_trouble(node: Node, published: ResourceSlice | None, clique: str) -> str:
    read, label = published_clique(published), node.metadata.labels.get(names.GPU_CLIQUE_LABEL)
    if read is not None and read != clique:
        return f"{node.metadata.name} joined as {clique or 'no fabric'} but NVML says {read or 'no fabric'} now"
    if label is not None and label != clique:
        return (
            f"{node.metadata.name} is labelled {names.GPU_CLIQUE_LABEL}={label} but NVML says {clique or 'no fabric'}"
        )
    return ""


def _why_not_ready(pod: Pod) -> str:
    if pod.metadata.deleting:
        return f"has an IMEX daemon that is going away (pod {pod.metadata.name})"
    note = pod.metadata.annotations.get(names.NOTE_ANNOTATION)
    if note and not note.startswith((names.WOKEN, names.WORRY)):
        return f"has an IMEX daemon that is not ready: {note}"
    for status in pod.status.containerStatuses:
        said = container_trouble(status)
        if said:
            return f"has an IMEX daemon that is not ready: {said}"
    unscheduled = _condition(pod.status.conditions, "PodScheduled")
    if unscheduled and unscheduled.status == "False":
        said = (unscheduled.message or unscheduled.reason).rstrip(".")
        return f"cannot run its IMEX daemon: {said}; {MAKE_ROOM}"
    return f"{_STARTING} (pod {pod.metadata.name})"


def container_trouble(status: ContainerStatus) -> str:
    """Why a container does not run, as its kubelet says; "" when that is not known, or it does."""
    ended = status.state.terminated or status.lastState.terminated
    if ended and (ended.message or ended.exitCode):
        return ended.message.strip() or f"its container ended with exit code {ended.exitCode} ({ended.reason})"
    waiting = status.state.waiting
    if waiting and waiting.reason not in ("", "ContainerCreating", "PodInitializing"):
        said = f"{waiting.reason}: {waiting.message}" if waiting.message else waiting.reason
        return f"{said}; {CHECK_IMAGE}" if "Pull" in waiting.reason else said
    return ""


def _condition(conditions: Iterable[Condition], type_: str) -> Condition | None:
    return next((c for c in conditions if c.type == type_), None)
