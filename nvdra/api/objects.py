"""Kubernetes objects as frozen classes: the fields that we read, in the API's own spelling.

Decoded straight from the wire (msgspec ignores the fields we do not name). Never written back whole: writes are
patches, or manifests that we own entirely.
"""

from typing import TypeAlias

from attrs import field, frozen

from nvdra.api import names


@frozen
class OwnerReference:
    """`metadata.ownerReferences[]`."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


@frozen
class Meta:
    """`metadata`."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""
    generation: int = 0
    creationTimestamp: str | None = None
    deletionTimestamp: str | None = None
    labels: dict[str, str] = field(factory=dict)
    annotations: dict[str, str] = field(factory=dict)
    finalizers: tuple[str, ...] = ()
    ownerReferences: tuple[OwnerReference, ...] = ()

    @property
    def deleting(self) -> bool:
        """Somebody asked for its deletion."""
        return self.deletionTimestamp is not None

    @property
    def path(self) -> str:
        """`namespace/name`, or the name alone for what has no namespace."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@frozen
class Condition:
    """`status.conditions[]` of metav1."""

    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    lastTransitionTime: str | None = None
    observedGeneration: int = 0


@frozen
class NodeInfo:
    """`status.nodeInfo`."""

    bootID: str = ""


@frozen
class NodeStatus:
    """`status` of a Node."""

    conditions: tuple[Condition, ...] = ()
    nodeInfo: NodeInfo = NodeInfo()


@frozen
class Node:
    """A Node."""

    metadata: Meta = Meta()
    status: NodeStatus = NodeStatus()


@frozen
class Terminated:
    """`containerStatuses[].lastState.terminated`."""

    exitCode: int = 0
    reason: str = ""
    message: str = ""


@frozen
class Waiting:
    """`containerStatuses[].state.waiting`."""

    reason: str = ""
    message: str = ""


@frozen
class ContainerState:
    """`containerStatuses[].state`."""

    waiting: Waiting | None = None
    terminated: Terminated | None = None


@frozen
class ContainerStatus:
    """`status.containerStatuses[]`."""

    name: str = ""
    ready: bool = False
    restartCount: int = 0
    state: ContainerState = ContainerState()
    lastState: ContainerState = ContainerState()


@frozen
class PodStatus:
    """`status` of a Pod."""

    phase: str = ""
    podIP: str = ""
    conditions: tuple[Condition, ...] = ()
    containerStatuses: tuple[ContainerStatus, ...] = ()


@frozen
class FieldRequirement:
    """`matchFields[]` of a node selector term."""

    key: str = ""
    values: tuple[str, ...] = ()


@frozen
class NodeSelectorTerm:
    """`nodeSelectorTerms[]`."""

    matchFields: tuple[FieldRequirement, ...] = ()


@frozen
class NodeSelector:
    """A node selector, as far as it names a node."""

    nodeSelectorTerms: tuple[NodeSelectorTerm, ...] = ()


@frozen
class NodeAffinity:
    """`affinity.nodeAffinity`."""

    requiredDuringSchedulingIgnoredDuringExecution: NodeSelector | None = None


@frozen
class Affinity:
    """`spec.affinity`."""

    nodeAffinity: NodeAffinity | None = None


@frozen
class PodResourceClaim:
    """`spec.resourceClaims[]`."""

    name: str = ""


@frozen
class PodSpec:
    """`spec` of a Pod."""

    nodeName: str = ""
    affinity: Affinity | None = None
    resourceClaims: tuple[PodResourceClaim, ...] = ()


@frozen
class Pod:
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
    def ready(self) -> bool:
        """The kubelet says that it is Ready."""
        return any(c.type == "Ready" and c.status == "True" for c in self.status.conditions)


@frozen
class DaemonSetStatus:
    """`status` of a DaemonSet."""

    desiredNumberScheduled: int = 0
    numberReady: int = 0


@frozen
class DaemonSet:
    """A DaemonSet; `spec` as it came, to be held against the manifest that we want."""

    metadata: Meta = Meta()
    spec: dict[str, object] = field(factory=dict)
    status: DaemonSetStatus = DaemonSetStatus()


@frozen
class ResourceClaimTemplate:
    """A ResourceClaimTemplate."""

    metadata: Meta = Meta()


@frozen
class OpaqueConfig:
    """`opaque` of a device config; `parameters` stays as it came: decoding it is the driver's business."""

    driver: str = ""
    parameters: dict[str, object] = field(factory=dict)


@frozen
class AllocationConfig:
    """`status.allocation.devices.config[]`."""

    source: str = ""
    requests: tuple[str, ...] = ()
    opaque: OpaqueConfig | None = None


@frozen
class AllocationResult:
    """`status.allocation.devices.results[]`."""

    request: str = ""
    driver: str = ""
    pool: str = ""
    device: str = ""
    adminAccess: bool | None = None
    shareID: str | None = None


@frozen
class DeviceAllocation:
    """`status.allocation.devices`."""

    results: tuple[AllocationResult, ...] = ()
    config: tuple[AllocationConfig, ...] = ()


@frozen
class Allocation:
    """`status.allocation`."""

    devices: DeviceAllocation = DeviceAllocation()


@frozen
class ConsumerReference:
    """`status.reservedFor[]`."""

    resource: str = ""
    name: str = ""
    uid: str = ""


@frozen
class ResourceClaimStatus:
    """`status` of a ResourceClaim."""

    allocation: Allocation | None = None
    reservedFor: tuple[ConsumerReference, ...] = ()


@frozen
class ResourceClaim:
    """A ResourceClaim (status is the same in v1, v1beta2 and v1beta1)."""

    metadata: Meta = Meta()
    status: ResourceClaimStatus = ResourceClaimStatus()


_Int: TypeAlias = int  # the fields of an Attribute are named like their types
_Bool: TypeAlias = bool


@frozen
class Attribute:
    """One value of a device's attributes."""

    string: str | None = None
    int: _Int | None = None
    bool: _Bool | None = None
    version: str | None = None


@frozen
class BasicDevice:
    """v1beta1's extra level: `devices[].basic`."""

    attributes: dict[str, Attribute] = field(factory=dict)


@frozen
class Device:
    """`spec.devices[]` of a ResourceSlice."""

    name: str = ""
    attributes: dict[str, Attribute] = field(factory=dict)
    basic: BasicDevice | None = None

    def attribute(self, name: str) -> Attribute | None:
        """The attribute of that name in either spelling of the API, or None."""
        found = (self.basic.attributes if self.basic else self.attributes).get(name)
        return found or (self.basic.attributes if self.basic else self.attributes).get(f"{names.CD_DRIVER}/{name}")


@frozen
class Pool:
    """`spec.pool` of a ResourceSlice."""

    name: str = ""
    generation: int = 0
    resourceSliceCount: int = 0


@frozen
class ResourceSliceSpec:
    """`spec` of a ResourceSlice."""

    driver: str = ""
    nodeName: str = ""
    pool: Pool = Pool()
    devices: tuple[Device, ...] = ()


@frozen
class ResourceSlice:
    """A ResourceSlice."""

    metadata: Meta = Meta()
    spec: ResourceSliceSpec = ResourceSliceSpec()


@frozen
class Event:
    """A core/v1 Event, as far as we read our own back."""

    metadata: Meta = Meta()
    reason: str = ""
    message: str = ""


@frozen
class LeaseSpec:
    """`spec` of a Lease."""

    holderIdentity: str | None = None
    leaseDurationSeconds: int | None = None
    acquireTime: str | None = None
    renewTime: str | None = None
    leaseTransitions: int | None = None


@frozen
class Lease:
    """A Lease."""

    metadata: Meta = Meta()
    spec: LeaseSpec = LeaseSpec()


# Ours.


@frozen
class TemplateReference:
    """`spec.channel.resourceClaimTemplate`."""

    name: str = ""


@frozen
class ChannelSpec:
    """`spec.channel`."""

    resourceClaimTemplate: TemplateReference = TemplateReference()
    allocationMode: str = "Single"


@frozen
class ComputeDomainSpec:
    """`spec` of a ComputeDomain. `numNodes` 0 or absent: formed from the start."""

    numNodes: int = 0
    channel: ChannelSpec = ChannelSpec()


@frozen
class DomainNode:
    """`status.nodes[]`: one node that joined. `index` is -1 where there is no fabric; `claim` tells its stays apart."""

    name: str
    claim: str = ""
    ipAddress: str = ""
    cliqueID: str = ""
    index: int = -1
    status: str = "NotReady"


@frozen
class RetiredIndex:
    """An index whose node has left. It is not given again while another is unused (#1417)."""

    nodeName: str
    index: int
    since: str = ""


@frozen
class ImexDomainStatus:
    """`status.imexDomains[]`: one <cluster UUID, clique id> of the domain.

    `members[i]` is the node that holds index i, "" where nobody does: enough to make a lost roster again.
    """

    cliqueID: str
    nodes: int = 0
    ready: int = 0
    status: str = "NotReady"
    message: str = ""
    members: tuple[str, ...] = ()
    retired: tuple[RetiredIndex, ...] = ()


@frozen
class ComputeDomainStatus:
    """`status` of a ComputeDomain; written by the controller alone, in one patch."""

    status: str = "NotReady"
    nodes: tuple[DomainNode, ...] = ()
    imexDomains: tuple[ImexDomainStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()
    nodesReady: str = ""
    imexDomainCount: int = 0
    observedGeneration: int = 0


@frozen
class ComputeDomain:
    """A ComputeDomain."""

    metadata: Meta = Meta()
    spec: ComputeDomainSpec = ComputeDomainSpec()
    status: ComputeDomainStatus = ComputeDomainStatus()

    def condition(self, type_: str) -> Condition | None:
        """The condition of that type, or None."""
        return next((c for c in self.status.conditions if c.type == type_), None)


@frozen
class RosterEntry:
    """`daemons[]` of a ComputeDomainClique.

    `served` is a latch: the node was ready once, so a worker may hold a channel there and its daemon is left alone.
    `claim` is the channel claim that the node joined for: what is said here is said of that stay. `pod`: its daemon's.
    """

    nodeName: str
    ipAddress: str = ""
    cliqueID: str = ""
    index: int = -1
    status: str = "NotReady"
    message: str = ""
    served: bool = False
    claim: str = ""
    pod: str = ""


@frozen
class Roster:
    """A ComputeDomainClique: all that a node must know of its domain, written by the controller alone.

    `formed`: the whole ComputeDomain had its nodes at once. `message`: what is waited for, in one sentence.
    """

    metadata: Meta = Meta()
    computeDomain: str = ""
    cliqueID: str = ""
    formed: bool = False
    status: str = "NotReady"
    message: str = ""
    daemons: tuple[RosterEntry, ...] = ()
    retired: tuple[RetiredIndex, ...] = ()

    def entry(self, node_name: str) -> RosterEntry | None:
        """The entry of that node, or None."""
        return next((e for e in self.daemons if e.nodeName == node_name), None)
