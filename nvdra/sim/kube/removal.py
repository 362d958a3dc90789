"""Removing a pod for good, as only kubelets and the pod garbage collector do it."""

from typing import Protocol, TypeVar

from nvdra.api.kind import Kind
from nvdra.ports import Cluster
from nvdra.sim.kube import kinds
from nvdra.sim.kube.shapes import Json, name, namespace, uid

T = TypeVar("T")


class NodeCluster(Cluster, Protocol):
    """A Cluster whose `delete` takes a grace period; grace 0 removes a pod at once."""

    async def delete(
        self,
        kind: Kind[T],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        version: str = "",
        grace: int | None = None,
    ) -> None:
        """Delete an object, within `grace` seconds."""
        ...


async def remove(cluster: NodeCluster, pod: Json) -> None:
    """Make the pod be gone, if it is still that one."""
    await cluster.delete(kinds.PODS, name(pod), namespace(pod), uid=uid(pod), grace=0)
