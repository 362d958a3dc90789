"""Who may reach the IMEX daemons of a domain, as its network policy says. Pure."""

from nvdra.api.objects import DaemonSet, NetworkPolicy
from nvdra.domains.compute_domain import manifests
from nvdra.domains.compute_domain.snapshot import ComputeDomainSnapshot

_OPEN = "open to every pod, as far as no other network policy speaks of them"


def guard_told(seen: ComputeDomainSnapshot) -> str:
    """In a sentence. What the policy says is not what a network does that knows none."""
    if not seen.daemon_sets:
        return ""
    if not seen.policies:
        return f"{_OPEN}: there is no NetworkPolicy of this domain (imexDaemons.networkPolicy.enabled)"
    return "; ".join(_said(seen.uid, policy, seen.daemon_sets[0]) for policy in seen.policies)


def _said(uid: str, policy: NetworkPolicy, owner: DaemonSet) -> str:
    called = f"NetworkPolicy {policy.metadata.path}"
    if manifests.admits(policy, manifests.network_policy(uid, owner)):
        return f"open to this domain's daemons only, by {called}, unless another one adds to it"
    return f"{called} was changed by somebody, and the controller has not put it right"
