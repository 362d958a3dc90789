"""Our own objects as frozen classes: the fields that we read, in the API's own spelling.

Decoded straight from the wire (msgspec ignores the fields we do not name). Never written back whole: writes are
patches, or manifests that we own entirely.
"""

from msgspec import Struct

from nvdra.api import names
from nvdra.api.kind import Kind
from nvdra.api.meta import Condition, Meta


class TemplateReference(Struct, frozen=True, gc=False):
    """`spec.channel.resourceClaimTemplate`."""

    name: str = ""


class ChannelSpec(Struct, frozen=True, gc=False):
    """`spec.channel`."""

    resourceClaimTemplate: TemplateReference = TemplateReference()
    allocationMode: str = "Single"


class ComputeDomainSpec(Struct, frozen=True, gc=False):
    """`spec` of a ComputeDomain. `numNodes` 0 or absent: formed from the start."""

    numNodes: int = 0
    channel: ChannelSpec = ChannelSpec()


class DomainNode(Struct, frozen=True, gc=False):
    """`status.nodes[]`: one node that joined. `index` is -1 where there is no fabric; `claim` tells its stays apart."""

    name: str
    claim: str = ""
    ipAddress: str = ""
    cliqueID: str = ""
    index: int = -1
    status: str = "NotReady"


class RetiredIndex(Struct, frozen=True, gc=False):
    """An index whose node has left. It is not given again while another is unused (#1417)."""

    nodeName: str
    index: int
    since: str = ""


class ImexDomainStatus(Struct, frozen=True, gc=False):
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


class ComputeDomainStatus(Struct, frozen=True, gc=False):
    """`status` of a ComputeDomain; written by the controller alone, in one patch."""

    status: str = "NotReady"
    nodes: tuple[DomainNode, ...] = ()
    imexDomains: tuple[ImexDomainStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()
    nodesReady: str = ""
    imexDomainCount: int = 0
    observedGeneration: int = 0


class ComputeDomain(Struct, frozen=True, gc=False):
    """A ComputeDomain."""

    metadata: Meta = Meta()
    spec: ComputeDomainSpec = ComputeDomainSpec()
    status: ComputeDomainStatus = ComputeDomainStatus()

    def condition(self, type_: str) -> Condition | None:
        """The condition of that type, or None."""
        return next((c for c in self.status.conditions if c.type == type_), None)


class RosterEntry(Struct, frozen=True, gc=False):
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


class Roster(Struct, frozen=True, gc=False):
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
