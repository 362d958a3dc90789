"""DaemonSets: one pod on every node that fits, none elsewhere; templates rolled out one node at a time or on delete."""

import copy
from collections.abc import Iterable
from typing import Final

from attrs import frozen

from nvdra.ports import Cluster
from nvdra.sim.kube import kinds
from nvdra.sim.kube.controllers.pods import OwnedPods
from nvdra.sim.kube.loop import Loop
from nvdra.sim.kube.mirror import Mirror
from nvdra.sim.kube.recorder import Recorder
from nvdra.sim.kube.selectors import EVICTING, HARD, untolerated, wants_node
from nvdra.sim.kube.shapes import (
    Json,
    Key,
    deleting,
    dig,
    digest,
    finished,
    holds,
    key,
    labels,
    name,
    namespace,
    node_of,
    uid,
)

_PATIENCE: Final = 0.02
_PATIENCE_PER_NODE: Final = 0.0005
"""Many pods change at once: one look at all nodes is enough for them."""
HASH: Final = "controller-revision-hash"
_ALWAYS_TOLERATED: Final = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)


@frozen
class Plan:
    """What is to be done for one DaemonSet."""

    create_on: tuple[str, ...]
    delete: tuple[Json, ...]


class DaemonSets:
    """The DaemonSet controller."""

    def __init__(self, cluster: Cluster, sets: Mirror, pods: Mirror, nodes: Mirror) -> None:
        self._cluster = cluster
        self._sets = sets
        self._nodes = nodes
        self.loop: Loop[Key] = Loop("daemonset controller", self._work)
        self._owned = OwnedPods(cluster, pods, "DaemonSet", self._pods_changed)
        self._events = Recorder(cluster, "daemonset-controller")
        sets.listen(self._set_changed)
        nodes.listen(self._node_changed)

    def _set_changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None and (old is None or _asked(old) != _asked(new)):
            self.loop.add(key(new))

    def _pods_changed(self, which: Key) -> None:
        self.loop.later(which, max(_PATIENCE, _PATIENCE_PER_NODE * len(self._nodes.items)))

    def _node_changed(self, old: Json | None, new: Json | None) -> None:
        if old and new and _relevant(old) == _relevant(new):
            return
        for daemon_set in self._sets.values():
            template = daemon_set["spec"]["template"]["spec"]
            if any(node is not None and wants_node(template, node) for node in (old, new)):
                self.loop.add(key(daemon_set))

    async def _work(self, which: Key) -> None:
        daemon_set = self._sets.items.get(which)
        if daemon_set is None or deleting(daemon_set):
            return
        template = template_of(daemon_set)
        pods = self._owned.of(daemon_set)
        todo = plan(daemon_set, template, list(self._nodes.values()), pods)
        for pod in todo.delete:
            await self._owned.delete(pod)
            await self._events.tell(daemon_set, "DaemonSet", "SuccessfulDelete", f"Deleted pod: {name(pod)}")
        for node in todo.create_on:
            bound = _bound_to(template, node)
            made = await self._owned.make("apps/v1", daemon_set, bound, {"generateName": f"{name(daemon_set)}-"})
            await self._events.tell(daemon_set, "DaemonSet", "SuccessfulCreate", f"Created pod: {name(made)}")
        await self._report(daemon_set, template)

    async def _report(self, daemon_set: Json, template: Json) -> None:
        status = _status(daemon_set, template, list(self._nodes.values()), self._owned.of(daemon_set))
        there = daemon_set.get("status") or {}
        if status == {k: there.get(k) for k in status}:
            return
        patch = {"metadata": {"uid": uid(daemon_set)}, "status": status}
        where = namespace(daemon_set)
        done = await self._cluster.patch(kinds.DAEMON_SETS, name(daemon_set), patch, where, subresource="status")
        self._sets.put(done)


def template_of(daemon_set: Json) -> Json:
    """The pod template with what the controller adds: hash, generation, tolerations that every daemon has."""
    template: Json = copy.deepcopy(daemon_set["spec"]["template"])
    meta = template.setdefault("metadata", {})
    generation = str(daemon_set["metadata"].get("generation", 1))
    hashed = {HASH: digest(daemon_set["spec"]["template"]), "pod-template-generation": generation}
    meta["labels"] = {**(meta.get("labels") or {}), **hashed}
    tolerations = template["spec"].setdefault("tolerations", [])
    tolerations += [{"key": k, "operator": "Exists", "effect": effect} for k, effect in _ALWAYS_TOLERATED]
    return template


def plan(daemon_set: Json, template: Json, nodes: Iterable[Json], pods: Iterable[Json]) -> Plan:
    """Pure: where a pod is missing, and which pods are to go."""
    by_node: dict[str, list[Json]] = {}
    for pod in pods:
        by_node.setdefault(_target(pod), []).append(pod)
    create, delete = [], []
    known = {name(node): node for node in nodes}
    for node_name, node in known.items():
        there = by_node.get(node_name, [])
        alive = [pod for pod in there if not deleting(pod) and not finished(pod)]
        delete += [pod for pod in there if finished(pod) and not deleting(pod)]
        if not _may_stay(template, node):
            delete += alive
            continue
        delete += alive[1:]
        if not there and _may_start(template, node):
            create.append(node_name)
    delete += [pod for n, there in by_node.items() if n not in known for pod in there if not deleting(pod)]
    delete += _outdated(daemon_set, template, [p for there in by_node.values() for p in there])
    return Plan(tuple(create), tuple({uid(pod): pod for pod in delete}.values()))


def _outdated(daemon_set: Json, template: Json, pods: list[Json]) -> list[Json]:
    strategy = daemon_set["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return []
    wanted = labels(template).get(HASH)
    old = [pod for pod in pods if labels(pod).get(HASH) != wanted and not deleting(pod)]
    gone = [pod for pod in old if not holds(pod, "Ready")]
    down = [pod for pod in pods if deleting(pod) or not holds(pod, "Ready")]
    allowed = int(dig(strategy, "rollingUpdate", "maxUnavailable") or 1)
    room = max(0, allowed - len(down))
    return [*gone, *[pod for pod in old if pod not in gone][:room]]


def _may_stay(template: Json, node: Json) -> bool:
    taints, tolerations = dig(node, "spec", "taints") or [], template["spec"].get("tolerations") or []
    return wants_node(template["spec"], node) and untolerated(taints, tolerations, EVICTING) is None


def _may_start(template: Json, node: Json) -> bool:
    taints, tolerations = dig(node, "spec", "taints") or [], template["spec"].get("tolerations") or []
    return _may_stay(template, node) and untolerated(taints, tolerations, HARD) is None and not deleting(node)


def _asked(daemon_set: Json) -> Json:
    """What others write; the status is our own."""
    return {"spec": daemon_set["spec"], "uid": uid(daemon_set), "deleting": deleting(daemon_set)}


def _relevant(node: Json) -> Json:
    return {"labels": labels(node), "taints": dig(node, "spec", "taints") or [], "deleting": deleting(node)}


def _bound_to(template: Json, node: str) -> Json:
    bound: Json = copy.deepcopy(template)
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity = bound["spec"].setdefault("affinity", {}).setdefault("nodeAffinity", {})
    only = {"nodeSelectorTerms": [{"matchFields": [field]}]}  # in the place of the template's own terms, as it is done
    affinity["requiredDuringSchedulingIgnoredDuringExecution"] = only
    return bound


def target_node(spec: Json) -> str:
    """The one node that a pod spec allows by metadata.name, "" if it does not name exactly one."""
    required = dig(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution") or {}
    found = set()
    for term in required.get("nodeSelectorTerms") or ():
        fields = [f for f in term.get("matchFields") or () if f["key"] == "metadata.name" and f["operator"] == "In"]
        if not fields or len(fields[0]["values"]) != 1:
            return ""
        found.add(fields[0]["values"][0])
    return str(found.pop()) if len(found) == 1 else ""


def _target(pod: Json) -> str:
    return node_of(pod) or target_node(pod["spec"])


def _status(daemon_set: Json, template: Json, nodes: list[Json], pods: list[Json]) -> Json:
    wanted = {name(node) for node in nodes if _may_start(template, node)}
    on = {_target(pod): pod for pod in pods if not deleting(pod)}
    current = [pod for node, pod in on.items() if node in wanted]
    ready = sum(holds(pod, "Ready") for pod in current)
    updated = sum(labels(pod).get(HASH) == labels(template)[HASH] for pod in current)
    status = {
        "currentNumberScheduled": len(current),
        "desiredNumberScheduled": len(wanted),
        "numberMisscheduled": sum(node not in wanted for node in on),
        "numberReady": ready,
        "numberAvailable": ready,
        "updatedNumberScheduled": updated,
        "observedGeneration": daemon_set["metadata"].get("generation", 1),
    }
    missing = len(wanted) - ready
    return {**status, "numberUnavailable": missing or None}
