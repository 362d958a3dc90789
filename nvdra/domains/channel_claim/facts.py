"""The facts of a channel claim: one function each, its docstring the YAML's sentence. Pure."""

from nvdra.api import names
from nvdra.api.local import left_over, wanted_by_kubelet
from nvdra.core.findings import Facts, Finding
from nvdra.domains.channel_claim.snapshot import ChannelClaimSnapshot, channels_of, wanted_spec

FACTS: Facts[ChannelClaimSnapshot] = Facts()


@FACTS.add
def wanted(seen: ChannelClaimSnapshot) -> Finding:
    """The kubelet wants the claim prepared."""
    return wanted_by_kubelet(seen.call, seen.record)


@FACTS.add
def recorded(seen: ChannelClaimSnapshot) -> Finding:
    """Its write-ahead record is on disk."""
    if seen.record is None or (seen.record.leaving and wanted_by_kubelet(seen.call, seen.record).holds):
        return Finding(False)  # one that says the kubelet has let go is no record of what is wanted
    return Finding(True, "its record is on disk")


@FACTS.add
def located(seen: ChannelClaimSnapshot) -> Finding:
    """The node's own clique is known for certain."""
    clique = seen.reading.clique
    return Finding(clique.known, f"{seen.node_name}: {clique.because}", f"NVML on {seen.node_name}")


@FACTS.add
def vacant(seen: ChannelClaimSnapshot) -> Finding:
    """No other channel claim, and no daemon of another domain, is on this node."""
    domain = seen.record.domain if seen.record else seen.call.domain if seen.call else ""
    return vacancy(seen, domain)


@FACTS.add
def joined(seen: ChannelClaimSnapshot) -> Finding:
    """The node carries this domain's label."""
    source = f"Node {seen.node_name}"
    if seen.record is None:
        return Finding(False, "", source)
    if seen.node is None:  # not read since we started: what is to be taken off may be there still
        return Finding(seen.record.leaving, f"{seen.node_name} has not been read yet", source)
    there = seen.label == seen.record.domain
    said = f"{seen.node_name} carries" if there else f"{seen.node_name} does not carry"
    return Finding(there, f"{said} the label {names.DOMAIN_LABEL}={seen.record.domain}", source)


@FACTS.add
def domain_ready(seen: ChannelClaimSnapshot) -> Finding:
    """The roster says that the domain has formed and that this node is ready."""
    return readiness(seen)


@FACTS.add
def released(seen: ChannelClaimSnapshot) -> Finding:
    """The record says that the worker was let go once."""
    record = seen.record
    # after the kubelet has let go, the node may have been given back: an old release is no licence
    done = record is not None and record.released and not record.leaving
    return Finding(done, "the record says so" if done else "")


@FACTS.add
def exposed(seen: ChannelClaimSnapshot) -> Finding:
    """The CDI file on disk names exactly the channels of the record."""
    if seen.record is None:
        return left_over(seen.disk, seen.call)
    if not seen.record.clique:
        return Finding(True, "no fabric: nothing is injected") if not seen.record.leaving else Finding(False)
    if seen.disk is None:
        return Finding(False, "its CDI file is not written yet")
    if seen.record.leaving:
        return Finding(True, "its CDI file is still there")
    expected = wanted_spec(seen.record, seen.reading)
    if expected is None:  # the driver is away: what was prepared stays prepared
        return Finding(bool(channels_of(seen.disk.spec)), "prepared before the driver went away")
    right = expected == seen.disk.spec and not seen.disk.nodes_missing
    return Finding(right, "its CDI file is on disk" if right else "its CDI file or device nodes differ")


@FACTS.add
def fetched(seen: ChannelClaimSnapshot) -> Finding:
    """The kubelet has had its answer."""
    done = seen.call is not None and (seen.call.fetched or seen.call.calling > 0)
    return Finding(done, "the kubelet has its answer" if done else "the kubelet has not called since")


@FACTS.add
def noted(seen: ChannelClaimSnapshot) -> Finding:
    """The record says that the kubelet has let the claim go."""
    return Finding(seen.record is not None and seen.record.leaving)


def vacancy(seen: ChannelClaimSnapshot, domain: str) -> Finding:
    """Whether this node is free for that domain: one channel claim and one IMEX session a node (#353, #641)."""
    for peer in seen.peers:
        if peer.kind == "channel":
            what = "is being released by" if peer.leaving else "is held by"
            return Finding(
                False,
                f"channel 0 of {seen.node_name} {what} {peer} (ComputeDomain {peer.domain_name or peer.domain}):"
                " one channel claim a node; pods may share one claim",
                f"record {peer.uid}",
            )
        if peer.domain != domain:
            return Finding(
                False,
                f"the IMEX daemon of ComputeDomain {peer.domain_name or peer.domain} is still on {seen.node_name}:"
                " one IMEX session a node",
                f"record {peer.uid}",
            )
    return Finding(True, f"{seen.node_name} is free")


def readiness(seen: ChannelClaimSnapshot) -> Finding:
    """What the roster says of this node; while it says nothing, what is missing."""
    source = f"ComputeDomainClique {seen.roster.metadata.path}" if seen.roster else "ComputeDomainClique"
    entry = seen.entry
    if seen.roster is not None and entry is None and not seen.roster.formed and seen.roster.message:
        mine = f"{seen.node_name} has joined, and the controller lists it within a minute, with others that come"
        return Finding(False, f"{seen.roster.message}; {mine}", source)
    if seen.roster is None or entry is None:
        return Finding(False, f"waiting for the ComputeDomain's controller to list {seen.node_name}", source)
    if entry.claim != seen.uid:  # said of an earlier stay of this node
        return Finding(False, f"waiting for the ComputeDomain's controller to see {seen.node_name} join", source)
    if entry.status == "Ready" and seen.roster.formed:
        return Finding(True, "the domain has formed and this node is ready", source)
    if entry.status != "Ready" and seen.daemon is not None and seen.daemon.reason:
        others = f"; {seen.roster.message}" if not seen.roster.formed and seen.roster.message else ""
        return Finding(False, f"{seen.node_name}'s IMEX daemon is not ready: {seen.daemon.reason}{others}", source)
    return Finding(False, seen.roster.message or f"waiting for {entry.nodeName}: {entry.message}", source)
