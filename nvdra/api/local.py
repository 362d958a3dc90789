"""What a node's plugin knows beside Kubernetes objects: calls of the kubelet, readings of hardware, files. Pure."""

from attrs import field, frozen

from nvdra.api.fabric import Clique
from nvdra.api.kind import Local
from nvdra.api.records import ClaimRecord, PodRef, RecordedDevice
from nvdra.core.findings import Finding
from nvdra.node import CdiSpec, ChannelNumbers

CLAIM_CDI_KIND = "k8s.compute-domain.nvidia.com/claim"


@frozen
class Call:
    """What the kubelet last wanted of a claim. `calling` counts the calls that wait for an answer right now.

    `fetched`: the kubelet has had a good answer, so nobody needs to be woken.
    """

    uid: str
    namespace: str
    name: str
    kind: str = "channel"
    wanted: bool = True
    domain: str = ""
    domain_name: str = ""
    mode: str = "Single"
    devices: tuple[RecordedDevice, ...] = ()
    pods: tuple[PodRef, ...] = ()
    calling: int = 0
    fetched: bool = False

    @property
    def path(self) -> str:
        """Its place in the store."""
        return self.uid


@frozen
class NodeReading:
    """The last look at the hardware. One a node."""

    clique: Clique
    driver: str = ""
    numbers: ChannelNumbers = field(factory=ChannelNumbers)
    path: str = "node"


@frozen
class DiskSpec:
    """A claim's CDI file as it is on disk. `nodes_missing`: host device nodes that it names and that are not there.

    `record_lost`: it was there at our start and the claim's record could not be read: its container may run.
    """

    uid: str
    spec: CdiSpec
    nodes_missing: int = 0
    record_lost: bool = False

    @property
    def path(self) -> str:
        """Its place in the store."""
        return self.uid


@frozen
class DaemonStatus:
    """What the IMEX daemon of this node last wrote into its domain folder, for the plugin to pass on.

    `awaited`: the reason is one that passes by itself, within a minute.
    """

    domain: str
    state: str = ""
    ready: bool = False
    reason: str = ""
    awaited: bool = False

    @property
    def path(self) -> str:
        """Its place in the store."""
        return self.domain


@frozen
class DomainFolder:
    """The folder of a domain on this node exists."""

    domain: str

    @property
    def path(self) -> str:
        """Its place in the store."""
        return self.domain


CALLS = Local(Call, "calls")
RECORDS = Local(ClaimRecord, "records")
READINGS = Local(NodeReading, "readings")
DISK_SPECS = Local(DiskSpec, "disk-specs")
FOLDERS = Local(DomainFolder, "domain-folders")
DAEMON_STATUSES = Local(DaemonStatus, "daemon-statuses")


def wanted_by_kubelet(call: Call | None, record: ClaimRecord | None) -> Finding:
    """What the kubelet said last; after a restart, what the record says that it said."""
    if call is not None:
        return Finding(call.wanted, "the kubelet wants it" if call.wanted else "the kubelet has let it go")
    if record is not None:
        return Finding(not record.leaving, "its record says so", f"record {record.uid}")
    return Finding(False, "the kubelet has not asked for it")


def left_over(disk: DiskSpec | None, call: Call | None) -> Finding:
    """A CDI file without a record goes; one whose record was lost only when the kubelet says something of the claim."""
    if disk is None:
        return Finding(False, "its CDI file is not written yet")
    if disk.record_lost and call is None:
        return Finding(False, "its record was lost: the CDI file is left alone, for its container may run")
    return Finding(True, "a CDI file without a record is there")
