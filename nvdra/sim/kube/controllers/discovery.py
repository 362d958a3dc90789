"""GPU Feature Discovery's one label that matters here: `nvidia.com/gpu.clique`, from the rack's topology."""

from collections.abc import Mapping

from nvdra.api.names import GPU_CLIQUE_LABEL
from nvdra.ports import Cluster
from nvdra.sim.kube import kinds
from nvdra.sim.kube.loop import Loop
from nvdra.sim.kube.mirror import Mirror
from nvdra.sim.kube.shapes import Json, labels, name


class FeatureDiscovery:
    """Keeps the clique label of every node as the topology says; can be switched off, or told something wrong."""

    def __init__(self, cluster: Cluster, nodes: Mirror, cliques: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._nodes = nodes
        self._cliques = dict(cliques)
        self._enabled = True
        self.loop: Loop[str] = Loop("feature discovery", self._work)
        nodes.listen(self._changed)

    def tell(self, node: str, clique: str) -> None:
        """From now on the label of this node is that ("" for none), be it true or not."""
        self._cliques[node] = clique
        self.loop.add(node)

    def switch(self, on: bool) -> None:
        """Off: labels stay as they are, and whoever changes them is let be."""
        self._enabled = on
        for node in self._nodes.values():
            self.loop.add(name(node))

    def _changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None and labels(new).get(GPU_CLIQUE_LABEL, "") != self._cliques.get(name(new), ""):
            self.loop.add(name(new))

    async def _work(self, node_name: str) -> None:
        node = self._nodes.get(node_name)
        wanted = self._cliques.get(node_name, "")
        if node is None or not self._enabled or labels(node).get(GPU_CLIQUE_LABEL, "") == wanted:
            return
        patch = {"metadata": {"labels": {GPU_CLIQUE_LABEL: wanted or None}}}
        self._nodes.put(await self._cluster.patch(kinds.NODES, node_name, patch))
