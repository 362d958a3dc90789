"""Our own objects as frozen classes: the fields that we read, in the API's own spelling.

Decoded straight from the wire (msgspec ignores the fields we do not name). Never written back whole: writes are
patches, or manifests that we own entirely.
"""

from attrs import frozen

from nvdra.api import names
from nvdra.api.kind import Kind
from nvdra.api.meta import Condition, Meta


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


COMPUTE_DOMAINS = Kind(ComputeDomain, "ComputeDomain", "computedomains", version=names.VERSION, group=names.GROUP)
ROSTERS = Kind(Roster, "ComputeDomainClique", "computedomaincliques", version=names.VERSION, group=names.GROUP)
