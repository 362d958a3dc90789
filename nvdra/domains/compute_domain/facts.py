"""The facts of a ComputeDomain: one function each, its docstring the YAML's sentence. Pure."""

from collections.abc import Sequence

from nvdra.api import names
from nvdra.api.membership import Member, late_of, sources_of, waiting_text
from nvdra.core.findings import Facts, Finding
from nvdra.domains.compute_domain.snapshot import ComputeDomainSnapshot

FACTS: Facts[ComputeDomainSnapshot] = Facts()
FORMED = "Formed"


@FACTS.add
def deleting(seen: ComputeDomainSnapshot) -> Finding:
    """The object is being deleted, or is already gone."""
    if seen.domain is None:
        return Finding(True, "the ComputeDomain is gone", f"no ComputeDomain has uid {seen.uid}")
    said = "the ComputeDomain is being deleted" if seen.domain.metadata.deleting else "nobody has deleted it"
    return Finding(seen.domain.metadata.deleting, said, _source(seen, "metadata.deletionTimestamp"))


@FACTS.add
def finalized(seen: ComputeDomainSnapshot) -> Finding:
    """Our finalizer is on the object."""
    there = seen.domain is not None and names.FINALIZER in seen.domain.metadata.finalizers
    said = f"finalizer {names.FINALIZER} is {'on' if there else 'not on'} it"
    return Finding(there, said, _source(seen, "metadata.finalizers"))


@FACTS.add
def templated(seen: ComputeDomainSnapshot) -> Finding:
    """The workload ResourceClaimTemplate exists."""
    if seen.domain is not None and not seen.domain.metadata.deleting:
        name = seen.domain.spec.channel.resourceClaimTemplate.name
        found = seen.workload_template is not None
        source = f"ResourceClaimTemplate {seen.domain.metadata.namespace}/{name}"
        return Finding(found, f"ResourceClaimTemplate {name} {'exists' if found else 'is not there yet'}", source)
    left = [t.metadata.path for t in seen.workload_templates]
    source = f"ResourceClaimTemplates labelled {names.DOMAIN_LABEL}={seen.uid}"
    return Finding(bool(left), f"ResourceClaimTemplate {', '.join(left)} is still there" if left else "", source)


@FACTS.add
def daemonised(seen: ComputeDomainSnapshot) -> Finding:
    """The daemon template and the DaemonSet both exist."""
    lacking = []
    if not any(not t.metadata.deleting for t in seen.daemon_templates):
        lacking.append("the daemons' ResourceClaimTemplate")
    if not any(not d.metadata.deleting for d in seen.daemon_sets):
        lacking.append("the DaemonSet")
    said = f"{' and '.join(lacking)} not there yet" if lacking else "both exist"
    there = [f"ResourceClaimTemplate {t.metadata.path}" for t in seen.daemon_templates]
    there += [f"DaemonSet {d.metadata.path}" for d in seen.daemon_sets]
    return Finding(not lacking, said, ", ".join(there[:3]) or f"objects labelled {names.DOMAIN_LABEL}={seen.uid}")


@FACTS.add
def formed(seen: ComputeDomainSnapshot) -> Finding:
    """spec.numNodes nodes were ready at once; remembered in status until the last node leaves."""
    return has_formed(seen)


def has_formed(seen: ComputeDomainSnapshot) -> Finding:
    """The fact `formed`, for others that rest on it."""
    wanted = seen.wanted_nodes
    if wanted == 0:
        return Finding(True, "numNodes is 0: formed from the start", _source(seen, "spec.numNodes"))
    if seen.ready_nodes >= wanted:
        source = sources_of(member for member in seen.members if member.ready)
        return Finding(True, f"{seen.ready_nodes} of {wanted} nodes are ready", source)
    if seen.members and remembered(seen):
        source = _source(seen, f"status.conditions[{FORMED}]")
        return Finding(True, "it has formed before and has nodes still", source)
    source = sources_of(late_of(seen.members))
    return Finding(False, waiting_text(wanted, seen.members), source or _joined(seen))


@FACTS.add
def all_ready(seen: ComputeDomainSnapshot) -> Finding:
    """Every node that joined is ready."""
    late = [member for member in seen.members if not member.ready]
    if not late:
        count = len(seen.members)
        return Finding(True, f"{count} of {count} nodes are ready", sources_of(seen.members) or _joined(seen))
    return Finding(False, _who(late), sources_of(late))


@FACTS.add
def degraded(seen: ComputeDomainSnapshot) -> Finding:
    """It has formed and serves some nodes, and another one is not ready."""
    late = [member for member in seen.members if not member.ready]
    source = sources_of(late or seen.members) or _joined(seen)
    if not has_formed(seen).holds:
        return Finding(False, "", source)  # that it has not formed is said by `formed`
    return Finding(seen.ready_nodes > 0 and bool(late), _who(late) or "no node is late", source)


@FACTS.add
def drained(seen: ComputeDomainSnapshot) -> Finding:
    """No DaemonSet, network policy, daemon template, node label or roster of ours remains."""
    left = [
        *(f"DaemonSet {d.metadata.path}" for d in seen.daemon_sets),
        *(f"NetworkPolicy {p.metadata.path}" for p in seen.policies),
        *(f"ResourceClaimTemplate {t.metadata.path}" for t in seen.daemon_templates),
        *(f"the label on node {n.metadata.name}" for n in seen.nodes),
        *(f"ComputeDomainClique {r.metadata.path}" for r in seen.rosters),
    ]
    said = f"{', '.join(left[:3])} still there" if left else "nothing of ours is left"
    return Finding(not left, said, f"objects labelled {names.DOMAIN_LABEL}={seen.uid}")


def remembered(seen: ComputeDomainSnapshot) -> bool:
    """The latch: written into the world, read back from wherever it survived, for as long as some node has stayed."""
    claims = {member.name: member.claim for member in seen.members}
    condition = seen.domain.condition(FORMED) if seen.domain else None
    if seen.domain is not None and condition is not None:
        listed = seen.domain.status.nodes
        stayed = not listed or any(claims.get(node.name) == node.claim for node in listed)
        return condition.status == "True" and stayed
    return any(
        roster.formed and any(claims.get(entry.nodeName) == entry.claim for entry in roster.daemons)
        for roster in seen.rosters
    )


def _source(seen: ComputeDomainSnapshot, field: str = "") -> str:
    found = f"ComputeDomain {seen.domain.metadata.path}" if seen.domain else f"ComputeDomain with uid {seen.uid}"
    return f"{found} {field}" if field else found


def _joined(seen: ComputeDomainSnapshot) -> str:
    return f"Nodes labelled {names.DOMAIN_LABEL}={seen.uid}"


def _who(late: Sequence[Member]) -> str:
    return "; ".join(f"{member.name} {member.why}" for member in late[:3])
