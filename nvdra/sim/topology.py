"""What a rack is made of: nodes, cliques, nodes without fabric, a control-plane node."""

from collections.abc import Iterator

from attrs import frozen

from nvdra.errors import ConfigError
from nvdra.node import Fabric
from nvdra.sim.nvml import cluster_uuid, in_clique

FIRST_CLIQUE = 32766
"""The guide's node1 has clique id 32766."""


@frozen
class Topology:
    """`nodes` workers in `cliques` of equal size, `without_fabric` more beside them."""

    nodes: int = 2
    cliques: int = 1
    gpus: int = 4
    without_fabric: int = 0
    control_plane: bool = True
    max_nodes: int = 18

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.nodes < 0 or self.cliques < 1 or self.without_fabric < 0:
            raise ConfigError("a rack has 0 or more nodes, 1 or more cliques and 0 or more nodes without fabric")
        if self.cliques > max(1, self.nodes):
            raise ConfigError(f"{self.cliques} cliques need at least as many nodes, not {self.nodes}")

    def workers(self) -> Iterator[tuple[str, Fabric | None]]:
        """Every GPU node with its fabric: the cliques share one cluster UUID, as in one rack."""
        cluster = cluster_uuid("rack-0")
        for number in range(self.nodes):
            yield self.name(number), in_clique(cluster, FIRST_CLIQUE - number * self.cliques // max(1, self.nodes))
        for number in range(self.without_fabric):
            yield self.name(self.nodes + number), None

    def name(self, number: int) -> str:
        """Of a worker: node-1 and so on."""
        width = len(str(self.nodes + self.without_fabric))
        return f"node-{number + 1:0{width}d}"


def clique_of(fabric: Fabric | None) -> str:
    """What feature discovery tells; "" for none."""
    return f"{fabric.cluster_uuid}.{fabric.clique_id}" if fabric else ""
