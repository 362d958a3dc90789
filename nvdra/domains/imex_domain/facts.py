"""The facts of an IMEX domain: one function each, its docstring the YAML's sentence. Pure."""

from nvdra.api import names
from nvdra.api.membership import sources_of
from nvdra.core.findings import Facts, Finding
from nvdra.domains.imex_domain.snapshot import ImexDomainSnapshot

FACTS: Facts[ImexDomainSnapshot] = Facts()
FORMED = "Formed"


@FACTS.add
def deleting(seen: ImexDomainSnapshot) -> Finding:
    """The ComputeDomain is being deleted, or is already gone."""
    if seen.domain is None:
        return Finding(True, "the ComputeDomain is gone", f"no ComputeDomain has uid {seen.uid}")
    said = "the ComputeDomain is being deleted" if seen.domain.metadata.deleting else "nobody has deleted it"
    return Finding(seen.domain.metadata.deleting, said, _domain(seen, "metadata.deletionTimestamp"))


@FACTS.add
def drained(seen: ImexDomainSnapshot) -> Finding:
    """No node of this clique carries the domain's label."""
    left = [member.name for member in seen.members]
    ending = seen.domain is None or seen.domain.metadata.deleting
    # while it lives, that is as it should be: nothing that one waits for
    held = f"{', '.join(left[:3])} carry the domain's label" if ending else ""
    said = held if left else "no node carries it"
    return Finding(not left, said, f"Nodes labelled {names.DOMAIN_LABEL}={seen.uid}")


@FACTS.add
def listed(seen: ImexDomainSnapshot) -> Finding:
    """The roster lists every node that joined, with its index and its daemon's address."""
    missing = [
        f"{member.name} {member.why or 'is not listed yet'}" for member in seen.members if not _lists(seen, member.name)
    ]
    return Finding(not missing, "; ".join(missing[:3]) or "every node is listed", f"ComputeDomainClique {seen.name}")


@FACTS.add
def ready(seen: ImexDomainSnapshot) -> Finding:
    """Every node that joined is ready."""
    late = [member for member in seen.members if not member.ready]
    if not late:
        return Finding(True, f"{len(seen.members)} of {len(seen.members)} nodes are ready", sources_of(seen.members))
    return Finding(False, "; ".join(f"{member.name} {member.why}" for member in late[:3]), sources_of(late))


@FACTS.add
def formed(seen: ImexDomainSnapshot) -> Finding:
    """The ComputeDomain has formed."""
    return has_formed(seen)


@FACTS.add
def published(seen: ImexDomainSnapshot) -> Finding:
    """The roster exists."""
    there = seen.roster is not None
    said = f"ComputeDomainClique {seen.name} {'exists' if there else 'is not there'}"
    return Finding(there, said, f"ComputeDomainClique {seen.name}")


def has_formed(seen: ImexDomainSnapshot) -> Finding:
    """From the latch in the ComputeDomain's status; with numNodes 0 it has formed from the start."""
    if seen.domain is None:
        return Finding(False, "the ComputeDomain is gone")
    if seen.domain.spec.numNodes == 0:
        return Finding(True, "numNodes is 0: formed from the start", _domain(seen, "spec.numNodes"))
    condition, source = seen.domain.condition(FORMED), _domain(seen, f"status.conditions[{FORMED}]")
    if condition is None:
        return Finding(False, f"waiting for {seen.domain.spec.numNodes} nodes", source)
    if not seen.continued:
        return Finding(False, "every node has left since it formed", source)
    return Finding(condition.status == "True", condition.message, source)


def _lists(seen: ImexDomainSnapshot, node: str) -> bool:
    entry = seen.roster.entry(node) if seen.roster else None
    member = next(member for member in seen.members if member.name == node)
    if entry is None or not member.fabric:
        return entry is not None
    return entry.index >= 0 and bool(member.address) and entry.ipAddress == member.address


def _domain(seen: ImexDomainSnapshot, field: str) -> str:
    found = f"ComputeDomain {seen.domain.metadata.path}" if seen.domain else f"ComputeDomain with uid {seen.uid}"
    return f"{found} {field}"
