"""Names that existing manifests and tools rely on. Source: reference-driver.md §2, §4.1, §6."""

from typing import Final

GROUP: Final = "resource.nvidia.com"
VERSION: Final = "v1beta1"
CD_DRIVER: Final = "compute-domain.nvidia.com"
RESOURCE_API_VERSIONS: Final = ("v1", "v1beta2", "v1beta1")
"""Versions of resource.k8s.io that we speak, newest first."""
DRIVER_NAMESPACE: Final = "nvidia-dra-driver-gpu"

DOMAIN_LABEL: Final = "resource.nvidia.com/computeDomain"
"""On nodes, daemon pods, DaemonSets, policies, claim templates, rosters; its value is the ComputeDomain's uid."""
CLIQUE_LABEL: Final = "resource.nvidia.com/computeDomain.cliqueID"
"""On rosters, daemon pods, and on nodes beside DOMAIN_LABEL where there is a fabric: daemons run only there."""
WOKEN: Final = "woken "
"""Begins a note that only wakes; others say why a daemon is not ready."""
WORRY: Final = "is ready, but "
"""Begins a note of a daemon that is ready and has something to say all the same."""
JOIN_LABEL: Final = "resource.nvidia.com/computeDomain.claim"
"""On nodes beside DOMAIN_LABEL: the uid of the channel claim that they joined for. It tells one stay from the next."""
TARGET_LABEL: Final = "resource.nvidia.com/computeDomainTarget"
FINALIZER: Final = DOMAIN_LABEL
GPU_CLIQUE_LABEL: Final = "nvidia.com/gpu.clique"
"""Set by GPU Feature Discovery."""
NAME_ANNOTATION: Final = "resource.nvidia.com/computeDomain.name"
"""On claims made from our workload template: the ComputeDomain's name, so that it is read with one GET."""
NOTE_ANNOTATION: Final = "resource.nvidia.com/computeDomain.note"
"""The one annotation that a plugin may write on pods of its node: a wake-up on a worker, a reason on a daemon."""
TEMPLATE_HASH_ANNOTATION: Final = "resource.nvidia.com/computeDomain.templateHash"

CHANNEL_CLASS: Final = "compute-domain-default-channel.nvidia.com"
DAEMON_CLASS: Final = "compute-domain-daemon.nvidia.com"
DAEMON_SERVICE_ACCOUNT: Final = "compute-domain-daemon-service-account"
DAEMON_CONTAINER: Final = "compute-domain-daemon"

NO_FABRIC: Final = "no-fabric"
"""Stands for the empty clique id in names of rosters."""
MAX_NODES_PER_IMEX_DOMAIN: Final = 18
IMEX_SERVER_PORT: Final = 50000
IMEX_COMMAND_PORT: Final = 50005
HEALTH_PORT: Final = 50010
"""Where an IMEX daemon answers its probes; not one of IMEX's ports."""
MIN_DRIVER_FOR_NAMES: Final = (570, 158, 1)

_SUFFIX_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH: Final = 5
_MAX_BASE: Final = 52


def short_hash(text: str, length: int = _SUFFIX_LENGTH) -> str:
    """`length` letters and digits of the kind that Kubernetes puts after generated names, made from `text`."""
    import hashlib  # not before it is needed: an IMEX daemon opens its door first

    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    letters = []
    for _ in range(length):
        number, digit = divmod(number, len(_SUFFIX_ALPHABET))
        letters.append(_SUFFIX_ALPHABET[digit])
    return "".join(letters)


def daemonset_name(domain_name: str, domain_uid: str) -> str:
    """The guide's `imex-channel-injection-6k9sx`; also the name of the daemons' claim template and network policy."""
    return f"{domain_name[:_MAX_BASE].rstrip('.-')}-{short_hash(domain_uid)}"


def roster_name(domain_uid: str, clique: str) -> str:
    """`<ComputeDomain uid>.<clique id>`, with a word of its own where there is no fabric."""
    return f"{domain_uid}.{clique or NO_FABRIC}"


def daemon_host_name(domain_uid: str, clique: str, index: int) -> str:
    """The host name behind one index, unique per ComputeDomain and clique (#1447: equal names met in cluster DNS)."""
    return f"imex-{short_hash(roster_name(domain_uid, clique), 10)}-{index:04d}"


def label_pointer(label: str) -> str:
    """The JSON pointer (RFC 6901) to a label."""
    return f"/metadata/labels/{label.replace('~', '~0').replace('/', '~1')}"
