"""The facts of a daemon claim: one function each, its docstring the YAML's sentence. Pure."""

from nvdra.api.local import left_over, wanted_by_kubelet
from nvdra.core.findings import Facts, Finding
from nvdra.domains.daemon_claim.snapshot import DaemonClaimSnapshot, describes

FACTS: Facts[DaemonClaimSnapshot] = Facts()


@FACTS.add
def wanted(seen: DaemonClaimSnapshot) -> Finding:
    """The kubelet wants the claim prepared."""
    return wanted_by_kubelet(seen.call, seen.record)


@FACTS.add
def recorded(seen: DaemonClaimSnapshot) -> Finding:
    """Its write-ahead record is on disk."""
    if seen.record is None or (seen.record.leaving and wanted_by_kubelet(seen.call, seen.record).holds):
        return Finding(False)  # one that says the kubelet has let go is no record of what is wanted
    return Finding(True, "its record is on disk")


@FACTS.add
def located(seen: DaemonClaimSnapshot) -> Finding:
    """The node's own clique is known for certain."""
    clique = seen.reading.clique
    return Finding(clique.known, f"{seen.node_name}: {clique.because}", f"NVML on {seen.node_name}")


@FACTS.add
def staged(seen: DaemonClaimSnapshot) -> Finding:
    """The domain's folder on this node exists."""
    return Finding(
        seen.staged, "the domain's folder is there" if seen.staged else "the domain's folder is not made yet"
    )


@FACTS.add
def exposed(seen: DaemonClaimSnapshot) -> Finding:
    """The CDI file on disk is the one that the record and the driver ask for."""
    if seen.record is None or seen.disk is None:
        return left_over(seen.disk, seen.call)
    if seen.record.leaving:
        return Finding(True, "its CDI file is still there")
    right = describes(seen.disk, seen.record, seen.reading.driver)
    return Finding(right, "its CDI file is on disk" if right else "its CDI file is of another domain, clique or driver")


@FACTS.add
def noted(seen: DaemonClaimSnapshot) -> Finding:
    """The record says that the kubelet has let the claim go."""
    return Finding(seen.record is not None and seen.record.leaving)


@FACTS.add
def unstaged(seen: DaemonClaimSnapshot) -> Finding:
    """The domain's folder is gone, or another daemon claim of the domain uses it."""
    return Finding(not seen.staged or seen.shared, "another daemon uses the folder" if seen.shared else "")
