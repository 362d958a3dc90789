"""What every controller does with pods: find its own, make one from a template, delete one."""

from collections.abc import Callable

from nvdra.ports import Cluster
from nvdra.sim.kube import kinds
from nvdra.sim.kube.mirror import Mirror
from nvdra.sim.kube.shapes import Json, Key, name, namespace, owner_of, owner_reference, uid


class OwnedPods:
    """The pods that one kind of controller object owns, by the owner's uid."""

    def __init__(self, cluster: Cluster, pods: Mirror, owner_kind: str, wake: Callable[[Key], None]) -> None:
        self._cluster = cluster
        self._pods = pods
        self._kind = owner_kind
        self._wake = wake
        self._by_owner: dict[str, dict[Key, Json]] = {}
        pods.listen(self._changed)

    def of(self, owner: Json) -> list[Json]:
        """The pods of that owner, oldest name first."""
        return [pod for _, pod in sorted(self._by_owner.get(uid(owner), {}).items())]

    async def make(self, api_version: str, owner: Json, template: Json, named: Json) -> Json:
        """Create a pod from a template; `named` is {"name": …} or {"generateName": …}."""
        meta = template.get("metadata") or {}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **named,
                "namespace": namespace(owner),
                "labels": meta.get("labels") or {},
                "annotations": meta.get("annotations") or {},
                "ownerReferences": [owner_reference(api_version, self._kind, owner)],
            },
            "spec": template["spec"],
        }
        pod = await self._cluster.create(kinds.PODS, body, namespace(owner))
        self._pods.put(pod)
        return pod

    async def delete(self, pod: Json) -> None:
        """Ask for a pod's deletion; a deletion asked for twice is one."""
        await self._cluster.delete(kinds.PODS, name(pod), namespace(pod), uid=uid(pod))

    def _changed(self, old: Json | None, new: Json | None) -> None:
        pod = new or old
        if pod is None:
            return
        owner = owner_of(pod)
        if owner is None or owner["kind"] != self._kind:
            return
        mine = self._by_owner.setdefault(owner["uid"], {})
        if new is None:
            mine.pop((namespace(pod), name(pod)), None)
        else:
            mine[(namespace(pod), name(pod))] = pod
        if not mine:
            del self._by_owner[owner["uid"]]
        self._wake((namespace(pod), owner["name"]))
