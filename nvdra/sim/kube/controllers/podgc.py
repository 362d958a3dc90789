"""Pod garbage collection: pods of nodes that are no more are removed at once."""

from collections.abc import Awaitable, Callable

from nvdra.sim.kube.loop import Loop
from nvdra.sim.kube.mirror import Mirror
from nvdra.sim.kube.shapes import Json, Key, key, name, node_of

Remove = Callable[[Json], Awaitable[None]]
"""Delete a pod with grace 0."""


class PodGarbage:
    """The pod garbage collector."""

    def __init__(self, pods: Mirror, nodes: Mirror, remove: Remove) -> None:
        self._pods = pods
        self._nodes = nodes
        self._remove = remove
        self.loop: Loop[Key] = Loop("pod garbage collector", self._work)
        nodes.listen(self._node_changed)
        pods.listen(lambda old, new: self.loop.add(key(new)) if old is None and new and node_of(new) else None)

    def _node_changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None or old is None:
            return
        for pod in self._pods.values():
            if node_of(pod) == name(old):
                self.loop.add(key(pod))

    async def _work(self, which: Key) -> None:
        pod = self._pods.items.get(which)
        if pod is None or not node_of(pod) or self._nodes.get(node_of(pod)) is not None:
            return
        await self._remove(pod)
