"""What may be wrong, as data: what is broken, where one sees it, by which words, and what to do next. Pure.

The words are literal parts of what `kubectl describe` shows; tests/rack/faults injects each fault and looks for them,
and so does tests/cluster/explained on the test bed of a real cluster.
"""

from collections.abc import Iterable
from typing import Final

from attrs import frozen


@frozen
class Fault:
    """One fault. `shown`: on which objects; `says`: words that name the cause; `todo`: words that say what to do."""

    name: str
    broken: str
    shown: str
    says: str
    todo: str
    rack_only: str = ""
    """Why the test bed of the real cluster cannot play it; "" when it does, with the same words."""


POD = "worker Pod"
DOMAIN = "ComputeDomain"
BOTH = f"{DOMAIN}, {POD}"

FAULTS: Final = (
    Fault(
        "host-imex",
        "the host's own nvidia-imex runs",
        BOTH,
        "another IMEX session is active on this node (NV_ERR_IN_USE)",
        "is the host's nvidia-imex.service running? Disable and mask it",
    ),
    Fault(
        "no-clique",
        "one node has no clique, the others have",
        DOMAIN,
        "has no NVLink clique while other nodes of this domain have one",
        "look at Fabric in nvidia-smi -q there, or keep this domain's workers off it",
    ),
    Fault(
        "fabric-not-completed",
        "the fabric state of a GPU is not completed",
        POD,
        "fabric registration is in progress",
        "it goes on by itself when the fabric is up; if not, see Fabric in nvidia-smi -q and the fabric manager",
    ),
    Fault(
        "driver-root",
        "the driver root is wrong",
        BOTH,
        "has no nvidia-imex in",
        "install the driver's IMEX package, or correct nvidiaDriverRoot",
    ),
    Fault(
        "driver-too-old",
        "the driver is older than supported",
        BOTH,
        "this driver is older than 570.158.01",
        "set numNodes on the ComputeDomain, or update the driver",
    ),
    Fault(
        "cdi-off",
        "CDI is off in containerd",
        BOTH,
        "CDI edits did not apply",
        "is CDI enabled in containerd (enable_cdi = true)?",
        rack_only="containerd 2.4, which the bed runs, cannot be told to leave CDI off",
    ),
    Fault(
        "clique-full",
        "one node more than an IMEX domain may have (18)",
        BOTH,
        "the most that an IMEX domain may have",
        "Run fewer workers in this clique, or raise maxNodesPerImexDomain",
    ),
    Fault(
        "foreign-template",
        "the claim template's name is taken by somebody else's",
        DOMAIN,
        "exists and was not made by this ComputeDomain",
        "delete it, or choose another spec.channel.resourceClaimTemplate.name",
    ),
    Fault(
        "node-taken",
        "the node's label is held by another domain",
        POD,
        "one ComputeDomain a node",
        "it is free again when that domain's last workload on it has ended",
    ),
    Fault(
        "former-importers",
        "IMEX waits for former importers after an unclean stop",
        DOMAIN,
        "IMEX was stopped uncleanly before and waits for former importers",
        "it goes on when they are back; if they are gone for good, delete this daemon's pod",
    ),
    Fault(
        "imex-versions",
        "two nodes run different versions of IMEX",
        DOMAIN,
        "runs another version",
        "install the same driver and IMEX package on all nodes of the clique",
    ),
    Fault(
        "rbac",
        "an RBAC rule is missing",
        BOTH,
        "403 Forbidden",
        "helm upgrade puts back what the chart grants",
    ),
    Fault(
        "rbac-reading",
        "an RBAC rule is missing, and the controller cannot see something",
        DOMAIN,
        "the controller cannot see",
        "helm upgrade puts back what the chart grants",
    ),
    Fault(
        "unschedulable",
        "an IMEX daemon cannot be scheduled: resources",
        BOTH,
        "cannot run its IMEX daemon: 0/",
        "make room for it there, or let it ask for less",
    ),
    Fault(
        "image",
        "the IMEX daemons' image cannot be pulled",
        BOTH,
        "ImagePull",  # ErrImagePull at first, then ImagePullBackOff, and so in turn
        "check the driver's image and its pull secrets",
    ),
    Fault(
        "imex-missing",
        "the IMEX binary is missing in the daemon's container",
        BOTH,
        "IMEX binary missing",
        "install the driver's IMEX package (nvidia-imex) on this node",
    ),
    Fault(
        "crash-loop",
        "nvidia-imex ends again and again",
        BOTH,
        "nvidia-imex exited with code",
        "more is in the log of this daemon's pod",
    ),
    Fault(
        "port-in-use",
        "a port of IMEX is in use",
        BOTH,
        "port 50000 in use",
        "see who listens there (ss -ltnp on the node) and stop it",
    ),
    Fault(
        "peer-unreachable",
        "a daemon cannot reach one of its peers",
        DOMAIN,
        "not connected to 1 of 1 peers",
        "do network policies or a firewall block port 50000 between these nodes?",
    ),
    Fault(
        "plugin-unregistered",
        "the plugin is not registered with the kubelet",
        POD,
        "has not registered the driver's plugin",
        "is the chart's kubeletRegistrarDirectoryPath the folder plugins_registry of that kubelet?",
    ),
    Fault(
        "no-majors",
        "/proc/devices has no major number for IMEX channels",
        POD,
        "has no IMEX channels",
        "Is the NVIDIA driver loaded, with NVreg_CreateImexChannel0 or NVreg_ImexChannelCount?",
    ),
    Fault(
        "corrupt-checkpoint",
        "a claim's record on the node's disk cannot be read",
        POD,
        "claim record set aside as",
        "the record is made anew when the kubelet prepares it again; look at the node's disk",
    ),
    Fault(
        "throttled",
        "the API server throttles us",
        POD,
        "429 Too Many Requests",
        "it is tried again by itself; if this lasts, give the driver a FlowSchema of its own",
        rack_only="a priority level without shares still has one seat: half of the requests are served, which suffices",
    ),
    Fault(
        "other-namespace",
        "a workload references a domain in another namespace",
        POD,
        "it is gone, or belongs to another namespace",
        "a workload uses a ComputeDomain of its own namespace",
    ),
    Fault(
        "deleted-in-use",
        "a ComputeDomain is deleted while workloads use it",
        POD,
        "deleted while in use",
        "end them: nothing can give them their domain back",
    ),
)

HINTS: Final = (
    Fault(
        "no-plugin",
        "the driver's kubelet plugin does not run on a node where a worker waits",
        "",
        "no kubelet plugin of the driver runs on",
        "do the plugin's affinity, node selector and tolerations (chart value kubeletPlugin) fit that node?",
    ),
    Fault(
        "plugin-not-ready",
        "the driver's kubelet plugin is not ready on a node where a worker waits",
        "",
        "the kubelet plugin's pod",
        "see kubectl logs --all-containers of that pod: its init container names a wrong driver root",
    ),
    Fault(
        "no-free-node",
        "no node with a free channel has room for a worker",
        POD,
        "cannot allocate all claims",
        "one channel claim a node: is a node free, and is the driver's kubelet plugin ready there? The log of its init"
        " container names a wrong driver root",
    ),
    Fault(
        "too-few-nodes",
        "fewer nodes have joined than spec.numNodes",
        DOMAIN,
        "not joined",
        "nodes join when a worker with this domain's claim is scheduled there: start the workers that are missing",
    ),
)
"""What is seen by looking at several objects, or is no fault: `nvdra explain` alone says it, where nothing is wrong
beside it.
"""


def todo_of(texts: Iterable[str]) -> tuple[str, ...]:
    """What to do about what these texts name; where they name no fault, what they hint at."""
    said = list(texts)
    for table in (FAULTS, HINTS):
        found = tuple(fault.todo for fault in table if any(fault.says in text for text in said))
        if found:
            return found
    return ()
