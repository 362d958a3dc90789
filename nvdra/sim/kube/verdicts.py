"""Why a pod cannot be placed, and which changes are worth another look."""

from collections import Counter

from nvdra.sim.kube.shapes import Json, deleting, dig, labels


class Unschedulable(Exception):
    """No node for this pod now; the text is the Event's."""


class Gated(Unschedulable):
    """Its claims are not all made yet; nobody is told, the next sight of the pod or the claim comes soon."""


def asks(pod: Json) -> Json:
    """What of a pod decides where it may run."""
    return {"spec": pod["spec"], "claims": dig(pod, "status", "resourceClaimStatuses"), "labels": labels(pod)}


def matters(of: Json) -> Json:
    """What of a node, claim, class or slice may let a stuck pod go."""
    seen = {"spec": of.get("spec"), "labels": labels(of), "deleting": deleting(of)}
    status = of.get("status") or {}
    return {**seen, **{k: status.get(k) for k in ("allocatable", "allocation", "reservedFor")}}


def nowhere(nodes: int, looked_at: int, reasons: Counter[str]) -> str:
    """The scheduler's sentence: 0/4 nodes are available, and why."""
    counted = sorted(f"{count} {why}" for why, count in reasons.items())
    if looked_at < nodes:
        counted.append(f"{nodes - looked_at} node(s) didn't satisfy plugin(s) [NodeAffinity]")
    return f"0/{nodes} nodes are available: {', '.join(counted)}." if counted else "no nodes available to schedule pods"
