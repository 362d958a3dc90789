"""The facts of a ComputeDomain: one function each, its docstring the YAML's sentence. Pure."""

from nvdra.api import names
from nvdra.api.membership import waiting_text
from nvdra.core.findings import Facts, Finding
from nvdra.domains.compute_domain.snapshot import ComputeDomainSnapshot

FACTS: Facts[ComputeDomainSnapshot] = Facts()
FORMED = "Formed"


@FACTS.add
def deleting(seen: ComputeDomainSnapshot) -> Finding:
    """The object is being deleted, or is already gone."""
    if seen.domain is None:
        return Finding(True, "the ComputeDomain is gone", f"no ComputeDomain has uid {seen.uid}")
    return Finding(seen.domain.metadata.deleting, "the ComputeDomain is being deleted", _source(seen))


@FACTS.add
def finalized(seen: ComputeDomainSnapshot) -> Finding:
    """Our finalizer is on the object."""
    there = seen.domain is not None and names.FINALIZER in seen.domain.metadata.finalizers
    return Finding(there, f"finalizer {names.FINALIZER} is {'still' if there else 'not'} on it", _source(seen))


@FACTS.add
def templated(seen: ComputeDomainSnapshot) -> Finding:
    """The workload ResourceClaimTemplate exists."""
    if seen.domain is not None and not seen.domain.metadata.deleting:
        name = seen.domain.spec.channel.resourceClaimTemplate.name
        found = seen.workload_template is not None
        return Finding(found, f"ResourceClaimTemplate {name} {'exists' if found else 'is not there yet'}", name)
    left = [t.metadata.path for t in seen.workload_templates]
    return Finding(bool(left), f"ResourceClaimTemplate {', '.join(left)} is still there" if left else "", _source(seen))


@FACTS.add
def daemonised(seen: ComputeDomainSnapshot) -> Finding:
    """The daemon template and the DaemonSet both exist."""
    lacking = []
    if not any(not t.metadata.deleting for t in seen.daemon_templates):
        lacking.append("the daemons' ResourceClaimTemplate")
    if not any(not d.metadata.deleting for d in seen.daemon_sets):
        lacking.append("the DaemonSet")
    return Finding(not lacking, f"{' and '.join(lacking)} not there yet" if lacking else "both exist")


@FACTS.add
def formed(seen: ComputeDomainSnapshot) -> Finding:
    """spec.numNodes nodes were ready at once; remembered in status until the last node leaves."""
    return has_formed(seen)


def has_formed(seen: ComputeDomainSnapshot) -> Finding:
    """The fact `formed`, for others that rest on it."""
    wanted = seen.wanted_nodes
    if wanted == 0:
        return Finding(True, "numNodes is 0: formed from the start", _source(seen))
    if seen.ready_nodes >= wanted:
        return Finding(True, f"{seen.ready_nodes} of {wanted} nodes are ready", _source(seen))
    if seen.members and remembered(seen):
        return Finding(True, "it has formed before and has nodes still", _source(seen))
    return Finding(False, waiting_text(wanted, seen.members), _source(seen))


@FACTS.add
def all_ready(seen: ComputeDomainSnapshot) -> Finding:
    """Every node that joined is ready."""
    late = [f"{member.name} {member.why}" for member in seen.members if not member.ready]
    return Finding(not late, "; ".join(late[:3]) or f"{len(seen.members)} nodes are ready", _source(seen))


@FACTS.add
def degraded(seen: ComputeDomainSnapshot) -> Finding:
    """It has formed and serves some nodes, and another one is not ready."""
    if not has_formed(seen).holds:
        return Finding(False, "", _source(seen))  # that it has not formed is said by `formed`
    late = [f"{member.name} {member.why}" for member in seen.members if not member.ready]
    return Finding(seen.ready_nodes > 0 and bool(late), "; ".join(late[:3]) or "no node is late", _source(seen))


@FACTS.add
def drained(seen: ComputeDomainSnapshot) -> Finding:
    """No DaemonSet, daemon template, node label or roster of ours remains."""
    left = [
        *(f"DaemonSet {d.metadata.path}" for d in seen.daemon_sets),
        *(f"ResourceClaimTemplate {t.metadata.path}" for t in seen.daemon_templates),
        *(f"the label on node {n.metadata.name}" for n in seen.nodes),
        *(f"ComputeDomainClique {r.metadata.path}" for r in seen.rosters),
    ]
    return Finding(not left, f"{', '.join(left[:3])} still there" if left else "nothing of ours is left", _source(seen))


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


def _source(seen: ComputeDomainSnapshot) -> str:
    return f"ComputeDomain {seen.domain.metadata.path}" if seen.domain else f"ComputeDomain with uid {seen.uid}"
