"""The resourceclaim controller: claims made from templates, reservations taken back, claims and allocations let go."""

from nvdra.errors import NotFound
from nvdra.ports import Cluster
from nvdra.sim.kube import kinds
from nvdra.sim.kube.loop import Loop
from nvdra.sim.kube.mirror import Mirror
from nvdra.sim.kube.recorder import Recorder
from nvdra.sim.kube.shapes import (
    Json,
    Key,
    annotations,
    deleting,
    dig,
    finished,
    key,
    name,
    namespace,
    node_of,
    owned_by,
    owner_of,
    owner_reference,
    pod_claims,
    uid,
)

POD_CLAIM = "resource.kubernetes.io/pod-claim-name"
FINALIZER = "resource.kubernetes.io/delete-protection"
_LONGEST = 57


class Claims:
    """The resourceclaim controller (dra-protocol.md §6.1 (1) and (10))."""

    def __init__(self, cluster: Cluster, claims: Mirror, pods: Mirror) -> None:
        self._cluster = cluster
        self._claims = claims
        self._pods = pods
        self._events = Recorder(cluster, "resource_claim")
        self.pod_loop: Loop[Key] = Loop("resourceclaim controller, pods", self._pod)
        self.claim_loop: Loop[Key] = Loop("resourceclaim controller, claims", self._claim)
        pods.listen(self._pod_changed)
        claims.listen(self._claim_changed)

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        for pod in (old, new):
            if pod is None or not dig(pod, "spec", "resourceClaims"):
                continue
            for _, claim in pod_claims(pod):
                if claim:
                    self.claim_loop.add((namespace(pod), claim))
            self.pod_loop.add(key(pod))

    def _claim_changed(self, old: Json | None, new: Json | None) -> None:
        claim = new or old
        if claim is None:
            return
        self.claim_loop.add(key(claim))
        owner = owner_of(claim)
        if owner and owner["kind"] == "Pod":
            self.pod_loop.add((namespace(claim), owner["name"]))

    # Pods: make what their templates ask for.

    async def _pod(self, which: Key) -> None:
        pod = self._pods.items.get(which)
        if pod is None or deleting(pod) or finished(pod):
            return
        named = {}
        for entry, recorded in pod_claims(pod):
            if "resourceClaimTemplateName" in entry:
                named[entry["name"]] = await self._named(pod, entry, recorded)
            elif node_of(pod):
                await self._reserve(pod, entry["resourceClaimName"])
        have = {s["name"]: s.get("resourceClaimName") for s in dig(pod, "status", "resourceClaimStatuses") or ()}
        if named and named != have:
            statuses = [{"name": k, "resourceClaimName": v} for k, v in named.items()]
            patch = {"metadata": {"uid": uid(pod)}, "status": {"resourceClaimStatuses": statuses}}
            done = await self._cluster.patch(kinds.PODS, name(pod), patch, namespace(pod), subresource="status")
            self._pods.put(done)

    async def _named(self, pod: Json, entry: Json, recorded: str | None) -> str:
        if recorded and self._claims.get(recorded, namespace(pod)) is not None:
            return recorded
        for claim in self._claims.values():
            if owned_by(claim, pod) and annotations(claim).get(POD_CLAIM) == entry["name"] and not deleting(claim):
                return name(claim)
        return await self._make(pod, entry)

    async def _make(self, pod: Json, entry: Json) -> str:
        wanted = entry["resourceClaimTemplateName"]
        try:
            template = await self._cluster.get(kinds.CLAIM_TEMPLATES, wanted, namespace(pod))
        except NotFound:
            text = (
                f'PodResourceClaim {entry["name"]}: failed to create ResourceClaim: resource claim template "{wanted}"'
            )
            await self._events.tell(pod, "Pod", "FailedResourceClaimCreation", f"{text}: not found", warning=True)
            raise
        claim = await self._cluster.create(kinds.CLAIMS, claim_of(pod, entry["name"], template), namespace(pod))
        self._claims.put(claim)
        return name(claim)

    async def _reserve(self, pod: Json, claim_name: str) -> None:
        """A pod that was bound without the scheduler gets its reservation here, if the claim is allocated."""
        claim = self._claims.get(claim_name, namespace(pod))
        if claim is None or deleting(claim) or not dig(claim, "status", "allocation"):
            return
        reserved = dig(claim, "status", "reservedFor") or []
        if any(r["uid"] == uid(pod) for r in reserved):
            return
        mine = {"resource": "pods", "name": name(pod), "uid": uid(pod)}
        await self._status(claim, {"reservedFor": [*reserved, mine]})

    # Claims: let go of what nobody uses.

    async def _claim(self, which: Key) -> None:
        claim = self._claims.items.get(which)
        if claim is None:
            return
        reserved = dig(claim, "status", "reservedFor") or []
        kept = [r for r in reserved if await self._in_use(claim, r)]
        idle = not kept and (reserved or deleting(claim))
        if kept != reserved or (idle and dig(claim, "status", "allocation")):
            let_go = {"allocation": None, "devices": None} if idle else {}
            claim = await self._status(claim, {"reservedFor": kept or None, **let_go})
        if idle or (deleting(claim) and not kept):
            claim = await self._release(claim)
        if not kept and not deleting(claim) and await self._orphaned(claim):
            await self._cluster.delete(kinds.CLAIMS, name(claim), namespace(claim), uid=uid(claim))

    async def _in_use(self, claim: Json, reference: Json) -> bool:
        if reference.get("resource") != "pods" or reference.get("apiGroup"):
            return True
        pod = await self._live_pod(reference["name"], namespace(claim), reference["uid"])
        return pod is not None and not finished(pod) and not (deleting(pod) and not node_of(pod))

    async def _orphaned(self, claim: Json) -> bool:
        owner = owner_of(claim)
        if owner is None or owner["kind"] != "Pod" or POD_CLAIM not in annotations(claim):
            return False
        pod = await self._live_pod(owner["name"], namespace(claim), owner["uid"])
        return pod is None or finished(pod)

    async def _live_pod(self, pod_name: str, where: str, pod_uid: str) -> Json | None:
        """The pod as last seen; read live when it was not seen yet."""
        pod = self._pods.get(pod_name, where)
        if pod is None or uid(pod) != pod_uid:
            try:
                pod = await self._cluster.get(kinds.PODS, pod_name, where)
            except NotFound:
                return None
        return pod if uid(pod) == pod_uid else None

    async def _status(self, claim: Json, status: Json) -> Json:
        same = {"uid": uid(claim), "resourceVersion": claim["metadata"]["resourceVersion"]}
        patch = {"metadata": same, "status": status}
        done = await self._cluster.patch(kinds.CLAIMS, name(claim), patch, namespace(claim), subresource="status")
        self._claims.put(done)
        return done

    async def _release(self, claim: Json) -> Json:
        finalizers = claim["metadata"].get("finalizers") or []
        if FINALIZER not in finalizers:
            return claim
        same = {"uid": uid(claim), "resourceVersion": claim["metadata"]["resourceVersion"]}
        patch = {"metadata": {**same, "finalizers": [f for f in finalizers if f != FINALIZER]}}
        done = await self._cluster.patch(kinds.CLAIMS, name(claim), patch, namespace(claim))
        if not deleting(done):
            self._claims.put(done)
        return done


def claim_of(pod: Json, pod_claim: str, template: Json) -> Json:
    """Pure: the ResourceClaim that a template makes for a pod."""
    meta = template["spec"].get("metadata") or {}
    owner = owner_reference("v1", "Pod", pod)
    owner.pop("blockOwnerDeletion")  # the real controller sets none here
    base = f"{name(pod)}-{pod_claim}-"
    if len(base) > _LONGEST:
        room = _LONGEST - 2
        first = max(1, room * len(name(pod)) // (len(name(pod)) + len(pod_claim)))
        base = f"{name(pod)[:first]}-{pod_claim[: room - first]}-"
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {
            "generateName": base,
            "namespace": namespace(pod),
            "labels": meta.get("labels") or {},
            "annotations": {**(meta.get("annotations") or {}), POD_CLAIM: pod_claim},
            "ownerReferences": [owner],
        },
        "spec": template["spec"]["spec"],
    }
