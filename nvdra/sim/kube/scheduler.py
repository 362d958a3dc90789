"""The scheduler: finds a node for each pod, devices for its claims, and says why when there is none."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from nvdra.errors import Again
from nvdra.ports import Cluster
from nvdra.sim.kube import affinity, kinds
from nvdra.sim.kube.allocator import CannotAllocate, Need, Pick, allocate, allocation_of, needs_of
from nvdra.sim.kube.controllers.claims import FINALIZER
from nvdra.sim.kube.controllers.daemonset import target_node
from nvdra.sim.kube.devices import DeviceSelectors, SelectorError, pools_for
from nvdra.sim.kube.loop import Loop
from nvdra.sim.kube.mirror import Mirror
from nvdra.sim.kube.placement import Placement, refuses
from nvdra.sim.kube.recorder import Recorder
from nvdra.sim.kube.selectors import SOFT, node_selector_matches, untolerated
from nvdra.sim.kube.shapes import (
    Json,
    Key,
    condition,
    deleting,
    dig,
    finished,
    key,
    labels,
    name,
    namespace,
    node_of,
    now,
    owned_by,
    pod_claims,
    uid,
    with_condition,
)
from nvdra.sim.kube.verdicts import Gated, Unschedulable, asks, matters, nowhere

_ENOUGH_NODES: Final = 100
_COALESCE: Final = 0.02


@frozen
class Mirrors:
    """What a scheduler watches."""

    nodes: Mirror
    pods: Mirror
    claims: Mirror
    classes: Mirror
    slices: Mirror


@frozen
class Choice:
    """A node and the devices on it."""

    node: Json
    picks: tuple[Pick, ...]


class Scheduler:
    """One pod at a time; what it decided is written before the next pod, so nothing is in flight."""

    def __init__(self, cluster: Cluster, seen: Mirrors) -> None:
        self._cluster = cluster
        self._seen = seen
        self.loop: Loop[Key] = Loop("scheduler", self._work)
        self._placement = Placement(seen.pods, seen.claims, seen.slices)
        self._selectors = DeviceSelectors()
        self._events = Recorder(cluster, "default-scheduler")
        self._stuck: dict[Key, None] = {}  # in the order in which they came
        self._turn = 0
        seen.pods.listen(self._pod_changed)
        for mirror in (seen.nodes, seen.claims, seen.classes, seen.slices):
            mirror.listen(self._world_changed)

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None and not node_of(new) and not deleting(new) and not finished(new):
            if old is None or asks(old) != asks(new):
                self.loop.add(key(new))
            return
        pod = new or old
        if pod is not None:
            self._stuck.pop(key(pod), None)
        bound = new is not None and node_of(new) and (old is None or not node_of(old))
        if new is None or bound or finished(new):
            self._wake()

    def _world_changed(self, old: Json | None, new: Json | None) -> None:
        if old is None or new is None or matters(old) != matters(new):
            self._wake()

    def _wake(self) -> None:
        for stuck in self._stuck:
            self.loop.later(stuck, _COALESCE)

    async def _work(self, which: Key) -> None:
        pod = self._seen.pods.items.get(which)
        if pod is None or node_of(pod) or deleting(pod) or finished(pod):
            self._stuck.pop(which, None)
            return
        self._stuck[which] = None
        try:
            claims = self._claims_of(pod)
            choice = self._choose(pod, claims)
        except Gated:
            return
        except Unschedulable as why:
            await self._say_why(pod, str(why))
            return
        await self._bind(pod, claims, choice)
        self._stuck.pop(which, None)

    # Looking.

    def _claims_of(self, pod: Json) -> list[Json]:
        found = []
        for entry, claim_name in pod_claims(pod):
            if claim_name == "":
                continue
            if claim_name is None:
                raise Gated(f'waiting for resource claim "{entry["name"]}" to be created')
            claim = self._seen.claims.get(claim_name, namespace(pod))
            if claim is None:
                kind = Gated if "resourceClaimTemplateName" in entry else Unschedulable
                raise kind(f'resourceclaim "{claim_name}" not found')
            if deleting(claim):
                raise Unschedulable(f'resourceclaim "{claim_name}" is being deleted')
            if "resourceClaimTemplateName" in entry and not owned_by(claim, pod):
                raise Unschedulable(f'resourceclaim "{claim_name}" was not created for pod {name(pod)}')
            found.append(claim)
        return found

    def _choose(self, pod: Json, claims: Sequence[Json]) -> Choice:
        needs = self._needs(claims)
        rules = self._rules(pod)
        reasons: Counter[str] = Counter()
        fitting: list[Choice] = []
        candidates = self._candidates(pod)
        for node in candidates:
            why = self._refusals(pod, claims, node, rules)
            picks: list[Pick] = []
            if not why and needs:
                try:
                    picks = self._devices(needs, node)
                except CannotAllocate as error:
                    why = [str(error)]
            if why:
                reasons.update(why)
                continue
            fitting.append(Choice(node, tuple(picks)))
            if len(fitting) >= _ENOUGH_NODES:
                break
        if not fitting:
            raise Unschedulable(nowhere(len(self._seen.nodes.items), len(candidates), reasons))
        return max(fitting, key=lambda choice: self._score(pod, choice.node, rules))

    def _needs(self, claims: Sequence[Json]) -> list[Need]:
        try:
            open_claims = [claim for claim in claims if not dig(claim, "status", "allocation")]
            return [need for claim in open_claims for need in needs_of(claim, self._classes())]
        except CannotAllocate as error:
            raise Unschedulable(str(error)) from error

    def _classes(self) -> dict[str, Json]:
        return {name(found): found for found in self._seen.classes.values()}

    def _candidates(self, pod: Json) -> list[Json]:
        only = target_node(pod["spec"])
        if only:
            node = self._seen.nodes.get(only)
            return [node] if node is not None else []
        nodes = sorted(self._seen.nodes.values(), key=name)
        self._turn = (self._turn + 1) % max(1, len(nodes)) if len(nodes) > _ENOUGH_NODES else 0
        return nodes[self._turn :] + nodes[: self._turn]

    def _rules(self, pod: Json) -> affinity.Rules:
        if not affinity.has_rules(pod) and not self._placement.with_rules():
            return affinity.NO_RULES
        known = affinity.labels_by_node(self._seen.nodes.values())
        bound = [(other, node) for node in known for other in self._placement.pods_on(node)]
        return affinity.rules_of(pod, affinity.Neighbours(bound, known))

    def _refusals(self, pod: Json, claims: Sequence[Json], node: Json, rules: affinity.Rules) -> list[str]:
        first = refuses(pod, node) or rules.refuse(labels(node))
        if first:
            return [first]
        lacking = self._placement.lacks(pod, node)
        if lacking:
            return lacking
        for claim in claims:
            selector = dig(claim, "status", "allocation", "nodeSelector")
            if not node_selector_matches(selector, node):
                return ["resourceclaim not available on the node"]
            if dig(claim, "status", "allocation") and len(dig(claim, "status", "reservedFor") or ()) >= 256:
                return [f"resourceclaim {name(claim)} is used by 256 pods already"]
        return []

    def _devices(self, needs: Sequence[Need], node: Json) -> list[Pick]:
        slices = self._placement.slices_for(name(node))
        pools = pools_for(node, slices, slices)
        try:
            return allocate(needs, pools, self._placement.taken(), self._selectors)
        except SelectorError as error:
            raise Unschedulable(str(error)) from error

    def _score(self, pod: Json, node: Json, rules: affinity.Rules) -> tuple[int, int]:
        taints, tolerations = list(dig(node, "spec", "taints") or ()), list(pod["spec"].get("tolerations") or ())
        soft = 100 if untolerated(taints, tolerations, SOFT) else 0
        wished = affinity.node_score(pod, node) + rules.score(labels(node)) - soft
        return wished, -len(list(self._placement.pods_on(name(node))))

    # Acting.

    async def _bind(self, pod: Json, claims: Sequence[Json], choice: Choice) -> None:
        for claim in claims:
            await self._reserve(pod, claim, choice)
        where, node = namespace(pod), name(choice.node)
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": uid(pod)},
            {"op": "add", "path": "/spec/nodeName", "value": node},
        ]
        await self._condition(pod, "True", "", "")  # before: from the binding on, conditions are the kubelet's
        self._seen.pods.put(await self._cluster.patch(kinds.PODS, name(pod), patch, where, how="json"))
        text = f"Successfully assigned {where}/{name(pod)} to {node}"
        await self._events.tell(pod, "Pod", "Scheduled", text)

    async def _reserve(self, pod: Json, claim: Json, choice: Choice) -> None:
        reserved = dig(claim, "status", "reservedFor") or []
        if any(r["uid"] == uid(pod) for r in reserved):
            return
        mine = {"resource": "pods", "name": name(pod), "uid": uid(pod)}
        status: Json = {"reservedFor": [*reserved, mine]}
        finalizers = claim["metadata"].get("finalizers") or []
        if not dig(claim, "status", "allocation"):
            made = allocation_of(claim, choice.picks, self._classes(), name(choice.node))
            status["allocation"] = {**made, "allocationTimestamp": now()}
            if FINALIZER not in finalizers:
                claim = await self._patch_claim(claim, {"finalizers": [*finalizers, FINALIZER]}, None)
        await self._patch_claim(claim, {}, status)

    async def _patch_claim(self, claim: Json, meta: Json, status: Json | None) -> Json:
        same = {"uid": uid(claim), "resourceVersion": claim["metadata"]["resourceVersion"]}
        patch: Json = {"metadata": {**same, **meta}}
        if status is not None:
            patch["status"] = status
        part = "" if status is None else "status"
        done = await self._cluster.patch(kinds.CLAIMS, name(claim), patch, namespace(claim), subresource=part)
        self._seen.claims.put(done)
        return done

    async def _say_why(self, pod: Json, why: str) -> None:
        if await self._deallocated(pod):
            why += " (an unused allocation was given up)"
        old = condition(pod, "PodScheduled")
        if old is not None and old.get("message") == why:
            return
        await self._condition(pod, "False", "Unschedulable", why)
        await self._events.tell(pod, "Pod", "FailedScheduling", why, warning=True)

    async def _deallocated(self, pod: Json) -> bool:
        """Give up one allocation that only stands in this pod's way (dra-protocol.md §6.1 (4))."""
        for _, claim_name in pod_claims(pod):
            claim = self._seen.claims.get(claim_name or "", namespace(pod))
            if claim is None or not dig(claim, "status", "allocation"):
                continue
            others = [r for r in dig(claim, "status", "reservedFor") or () if r["uid"] != uid(pod)]
            if not others:
                await self._patch_claim(claim, {}, {"allocation": None, "reservedFor": None, "devices": None})
                return True
        return False

    async def _condition(self, pod: Json, status: str, reason: str, message: str) -> None:
        conditions = with_condition(dig(pod, "status", "conditions") or [], "PodScheduled", status, reason, message)
        patch = {"metadata": {"uid": uid(pod)}, "status": {"conditions": conditions}}
        try:
            done = await self._cluster.patch(kinds.PODS, name(pod), patch, namespace(pod), subresource="status")
        except Again:
            return
        self._seen.pods.put(done)
