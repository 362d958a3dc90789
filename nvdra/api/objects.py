"""Kubernetes objects as frozen classes: the fields that we read, in the API's own spelling.

Decoded straight from the wire (msgspec ignores the fields we do not name). Never written back whole: writes are
patches, or manifests that we own entirely.
"""

from collections.abc import Iterator, Mapping

import msgspec
from attrs import field, frozen
from msgspec import Struct

from nvdra.api.meta import Condition, Meta


class NodeInfo(Struct, frozen=True, gc=False):
    """`status.nodeInfo`."""

    bootID: str = ""


class NodeStatus(Struct, frozen=True, gc=False):
    """`status` of a Node."""

    conditions: tuple[Condition, ...] = ()
    nodeInfo: NodeInfo = NodeInfo()


class Node(Struct, frozen=True, gc=False):
    """A Node."""

    metadata: Meta = Meta()
    status: NodeStatus = NodeStatus()


class Terminated(Struct, frozen=True, gc=False):
    """`containerStatuses[].lastState.terminated`."""

    exitCode: int = 0
    reason: str = ""
    message: str = ""


class Waiting(Struct, frozen=True, gc=False):
    """`containerStatuses[].state.waiting`."""

    reason: str = ""
    message: str = ""


class ContainerState(Struct, frozen=True, gc=False):
    """`containerStatuses[].state`."""

    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(Struct, frozen=True, gc=False):
    """`status.containerStatuses[]`."""

    name: str = ""
    ready: bool = False
    restartCount: int = 0
    state: ContainerState = ContainerState()
    lastState: ContainerState = ContainerState()


class PodClaimStatus(Struct, frozen=True, gc=False):
    """`status.resourceClaimStatuses[]`: the claim that was made for an entry of the spec."""

    name: str = ""
    resourceClaimName: str | None = None


class PodStatus(Struct, frozen=True, gc=False):
    """`status` of a Pod."""

    phase: str = ""
    podIP: str = ""
    conditions: tuple[Condition, ...] = ()
    containerStatuses: tuple[ContainerStatus, ...] = ()
    resourceClaimStatuses: tuple[PodClaimStatus, ...] = ()


class FieldRequirement(Struct, frozen=True, gc=False):
    """`matchFields[]` of a node selector term."""

    key: str = ""
    values: tuple[str, ...] = ()


class NodeSelectorTerm(Struct, frozen=True, gc=False):
    """`nodeSelectorTerms[]`."""

    matchFields: tuple[FieldRequirement, ...] = ()


class NodeSelector(Struct, frozen=True, gc=False):
    """A node selector, as far as it names a node."""

    nodeSelectorTerms: tuple[NodeSelectorTerm, ...] = ()


class NodeAffinity(Struct, frozen=True, gc=False):
    """`affinity.nodeAffinity`."""

    requiredDuringSchedulingIgnoredDuringExecution: NodeSelector | None = None


class Affinity(Struct, frozen=True, gc=False):
    """`spec.affinity`."""

    nodeAffinity: NodeAffinity | None = None


class PodResourceClaim(Struct, frozen=True, gc=False):
    """`spec.resourceClaims[]`."""

    name: str = ""
    resourceClaimName: str | None = None
    resourceClaimTemplateName: str | None = None


class PodSpec(Struct, frozen=True, gc=False):
    """`spec` of a Pod."""

    nodeName: str = ""
    affinity: Affinity | None = None
    resourceClaims: tuple[PodResourceClaim, ...] = ()


class Pod(Struct, frozen=True, gc=False):
    """A Pod."""

    metadata: Meta = Meta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def node(self) -> str:
        """The node it runs on, or the one that its DaemonSet made it for while it is not scheduled; or ""."""
        wanted = self.spec.affinity.nodeAffinity if self.spec.affinity else None
        selector = wanted.requiredDuringSchedulingIgnoredDuringExecution if wanted else None
        for term in selector.nodeSelectorTerms if selector and not self.spec.nodeName else ():
            for requirement in term.matchFields:
                if requirement.key == "metadata.name" and requirement.values:
                    return requirement.values[0]
        return self.spec.nodeName

    @property
    def claim_names(self) -> tuple[str, ...]:
        """The ResourceClaims that it holds, as far as they exist."""
        named = [entry.resourceClaimName for entry in self.spec.resourceClaims]
        made = [entry.resourceClaimName for entry in self.status.resourceClaimStatuses]
        return tuple(dict.fromkeys(name for name in (*named, *made) if name))

    @property
    def ready(self) -> bool:
        """The kubelet says that it is Ready."""
        return any(c.type == "Ready" and c.status == "True" for c in self.status.conditions)


class DaemonSetStatus(Struct, frozen=True, gc=False):
    """`status` of a DaemonSet."""

    desiredNumberScheduled: int = 0
    numberReady: int = 0


@frozen
class Packed(Mapping[str, object]):
    """A JSON object as its bytes: a tenth of what it takes unpacked, where thousands are kept and few are looked at."""

    packed: bytes

    def unpacked(self) -> dict[str, object]:
        """The object itself."""
        found: dict[str, object] = msgspec.json.decode(self.packed)
        return found

    def __getitem__(self, key: str) -> object:
        return self.unpacked()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.unpacked())

    def __len__(self) -> int:
        return len(self.unpacked())


@frozen
class DaemonSet:
    """A DaemonSet; `spec` as it came, to be held against the manifest that we want."""

    metadata: Meta = Meta()
    spec: Mapping[str, object] = field(factory=dict)
    status: DaemonSetStatus = DaemonSetStatus()

    def __attrs_post_init__(self) -> None:
        """As soon as it is decoded; msgspec knows no converters."""
        _pack(self)


@frozen
class NetworkPolicy:
    """A NetworkPolicy; `spec` as it came, to be held against the manifest that we want."""

    metadata: Meta = Meta()
    spec: Mapping[str, object] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """As soon as it is decoded; msgspec knows no converters."""
        _pack(self)


def _pack(thing: DaemonSet | NetworkPolicy) -> None:
    if not isinstance(thing.spec, Packed):
        object.__setattr__(thing, "spec", Packed(msgspec.json.encode(thing.spec)))


class EventSource(Struct, frozen=True, gc=False):
    """`source` of an Event."""

    component: str = ""


class Event(Struct, frozen=True, gc=False):
    """A core/v1 Event, as far as it is read back and shown."""

    metadata: Meta = Meta()
    reason: str = ""
    message: str = ""
    type: str = ""
    count: int | None = None
    lastTimestamp: str | None = None
    eventTime: str | None = None
    source: EventSource | None = None
    reportingComponent: str = ""

    @property
    def teller(self) -> str:
        """Who wrote it."""
        return self.reportingComponent or (self.source.component if self.source else "")

    @property
    def at(self) -> str:
        """When it was last told, as text that sorts."""
        return self.lastTimestamp or self.eventTime or self.metadata.creationTimestamp or ""


class LeaseSpec(Struct, frozen=True, gc=False):
    """`spec` of a Lease."""

    holderIdentity: str | None = None
    leaseDurationSeconds: int | None = None
    acquireTime: str | None = None
    renewTime: str | None = None
    leaseTransitions: int | None = None


class Lease(Struct, frozen=True, gc=False):
    """A Lease."""

    metadata: Meta = Meta()
    spec: LeaseSpec = LeaseSpec()
