"""The real cluster as a place: the bed of tests/cluster, with the driver that Helm has installed."""

import json
import subprocess
from typing import Any

from attrs import define, field

from nvdra.api import names
from tests.cluster import leftovers
from tests.cluster.bed import hardware
from tests.cluster.bed.cluster import Cluster
from tests.cluster.bed.hardware import Fabric
from tests.cluster.bed.layout import Node
from tests.e2e.place import Place

PLUGIN = f"/var/lib/kubelet/plugins/{names.CD_DRIVER}"
LOOK = f"for f in /var/run/cdi/* {PLUGIN}/claims/* {PLUGIN}/domains/* /dev/nvidia-caps-imex-channels/*; do [ -e $f ] && echo $f; done; true"


@define(eq=False)
class ClusterPlace(Place):
    """Nodes are entered by their namespaces, hardware is a file that the stand-in for NVML reads."""

    bed: Cluster = field(kw_only=True)

    def files(self, node: str) -> list[str]:
        looked = self.bed.on_node(self._node(node).number, "sh", "-c", LOOK)
        return sorted(subprocess.run(looked, capture_output=True, text=True, check=True).stdout.split())

    def imex(self) -> list[str]:
        return leftovers.imex_processes(self.bed)

    def hardware(self, node: str, clique: str) -> None:
        hardware.describe(self._node(node), Fabric(clique) if clique else None)

    def acts(self, node: str, **control: Any) -> None:
        hardware.imex_acts(self._node(node), json.dumps(control))

    def _node(self, name: str) -> Node:
        return next(node for node in self.bed.layout.all_nodes if node.name == name)
