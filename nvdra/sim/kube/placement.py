"""What the nodes hold just now: pods by node, what they ask for, and what their devices are taken by."""

from collections.abc import Iterable
from decimal import Decimal

from nvdra.sim.kube.affinity import has_rules
from nvdra.sim.kube.devices import DeviceId
from nvdra.sim.kube.mirror import Mirror
from nvdra.sim.kube.quantity import pod_requests, quantity
from nvdra.sim.kube.selectors import HARD, untolerated, wants_node
from nvdra.sim.kube.shapes import Json, Key, dig, finished, key, name, node_of


class Placement:
    """Follows pods, claims and slices, so that a question about one node costs no walk over all of them."""

    def __init__(self, pods: Mirror, claims: Mirror, slices: Mirror) -> None:
        self._pods: dict[str, dict[Key, Json]] = {}
        self._asked: dict[str, dict[str, Decimal]] = {}
        self._ruled: set[Key] = set()
        self._taken: dict[Key, frozenset[DeviceId]] = {}
        self._all_taken: frozenset[DeviceId] | None = None
        self._slices: dict[str, dict[str, Json]] = {}
        pods.listen(self._pod_changed)
        claims.listen(self._claim_changed)
        slices.listen(self._slice_changed)

    def pods_on(self, node: str) -> Iterable[Json]:
        """The pods bound to a node that have not finished."""
        return self._pods.get(node, {}).values()

    def with_rules(self) -> bool:
        """Some bound pod has pod affinity or anti-affinity, so that others must be looked at."""
        return bool(self._ruled)

    def taken(self) -> frozenset[DeviceId]:
        """Every device that a claim holds exclusively."""
        if self._all_taken is None:
            self._all_taken = frozenset(one for held in self._taken.values() for one in held)
        return self._all_taken

    def slices_for(self, node: str) -> list[Json]:
        """The slices of a node, and those of no node."""
        return [*self._slices.get(node, {}).values(), *self._slices.get("", {}).values()]

    def lacks(self, pod: Json, node: Json) -> list[str]:
        """Reasons why the node has no room for the pod, in the scheduler's words."""
        allocatable = dig(node, "status", "allocatable") or {}
        if len(self._pods.get(name(node), {})) >= int(allocatable.get("pods", 110)):
            return ["Too many pods"]
        asked = self._asked_of(name(node))
        short = [
            resource
            for resource, amount in pod_requests(pod).items()
            if amount > quantity(allocatable.get(resource, 0)) - asked.get(resource, Decimal(0))
        ]
        return [f"Insufficient {resource}" for resource in short]

    def _asked_of(self, node: str) -> dict[str, Decimal]:
        if node not in self._asked:
            total: dict[str, Decimal] = {}
            for pod in self._pods.get(node, {}).values():
                for resource, amount in pod_requests(pod).items():
                    total[resource] = total.get(resource, Decimal(0)) + amount
            self._asked[node] = total
        return self._asked[node]

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        if old is not None and node_of(old):
            self._pods.get(node_of(old), {}).pop(key(old), None)
            self._ruled.discard(key(old))
            if new is None or finished(new) or not node_of(new):
                self._asked.pop(node_of(old), None)
        if new is not None and node_of(new) and not finished(new):
            self._pods.setdefault(node_of(new), {})[key(new)] = new
            if has_rules(new):
                self._ruled.add(key(new))
            if old is None or not node_of(old):
                self._asked.pop(node_of(new), None)

    def _claim_changed(self, old: Json | None, new: Json | None) -> None:
        claim = new or old
        if claim is None:
            return
        results = dig(new, "status", "allocation", "devices", "results") or ()
        held = frozenset((r["driver"], r["pool"], r["device"]) for r in results if not r.get("adminAccess"))
        if held == self._taken.get(key(claim), frozenset()):
            return
        self._taken[key(claim)] = held
        if not held:
            del self._taken[key(claim)]
        self._all_taken = None

    def _slice_changed(self, old: Json | None, new: Json | None) -> None:
        if old is not None:
            self._slices.get(old["spec"].get("nodeName") or "", {}).pop(name(old), None)
        if new is not None:
            self._slices.setdefault(new["spec"].get("nodeName") or "", {})[name(new)] = new


def refuses(pod: Json, node: Json) -> str:
    """Why a node does not take a pod whatever else runs there; "" when it does."""
    spec = pod["spec"]
    if not wants_node(spec, node):
        return "node(s) didn't match Pod's node affinity/selector"
    taints, tolerations = list(dig(node, "spec", "taints") or ()), list(spec.get("tolerations") or ())
    if dig(node, "spec", "unschedulable"):
        taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        if untolerated([taint], tolerations, HARD):
            return "node(s) were unschedulable"
    taint_left = untolerated(taints, tolerations, HARD)
    if taint_left is not None:
        return f"node(s) had untolerated taint(s) {{{taint_left['key']}: {taint_left.get('value') or ''}}}"
    return ""
