"""A node's way to the API server, which can be cut."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from attrs import define

from nvdra.api.kind import Kind
from nvdra.errors import Again
from nvdra.ports import Json, Listing, PatchType, WatchEvent
from nvdra.sim.kube.removal import NodeCluster

T = TypeVar("T")


@define(eq=False)
class Link:
    """A NodeCluster that answers only while the link is up."""

    cluster: NodeCluster
    node: str
    cut: bool = False

    def _check(self) -> None:
        if self.cut:
            raise Again(f"node {self.node} is cut off from the API server", after=1)

    async def get(self, kind: Kind[T], name: str, namespace: str = "") -> T:
        """See Cluster."""
        self._check()
        return await self.cluster.get(kind, name, namespace)

    async def list(self, kind: Kind[T], namespace: str = "", *, labels: str = "", fields: str = "") -> Listing[T]:
        """See Cluster."""
        self._check()
        return await self.cluster.list(kind, namespace, labels=labels, fields=fields)

    async def watch(
        self, kind: Kind[T], version: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        """See Cluster."""
        self._check()
        async for event in self.cluster.watch(kind, version, namespace, labels=labels, fields=fields):
            self._check()
            yield event

    async def create(self, kind: Kind[T], body: Json, namespace: str = "") -> T:
        """See Cluster."""
        self._check()
        return await self.cluster.create(kind, body, namespace)

    async def patch(
        self,
        kind: Kind[T],
        name: str,
        patch: Json | Sequence[Json],
        namespace: str = "",
        *,
        how: PatchType = "merge",
        subresource: str = "",
    ) -> T:
        """See Cluster."""
        self._check()
        return await self.cluster.patch(kind, name, patch, namespace, how=how, subresource=subresource)

    async def replace(self, kind: Kind[T], name: str, body: Json, namespace: str = "") -> T:
        """See Cluster."""
        self._check()
        return await self.cluster.replace(kind, name, body, namespace)

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
        """See NodeCluster."""
        self._check()
        await self.cluster.delete(kind, name, namespace, uid=uid, version=version, grace=grace)
