"""Racks on which every plugin, daemon and kubelet is real: `nvdra sim join`, each in a process of its own."""

import json
import sys
from typing import Any

from attrs import frozen

from nvdra.adapters.processes import AsyncProcesses
from nvdra.errors import NvdraError
from nvdra.sim.scale.proc import load

Figures = dict[str, Any]
LIMIT = 300.0
RACKS = ((18, 1), (72, 4), (126, 7), (128, 1))
"""The last is synthetic: no clique of hardware is larger than 18 nodes; it is what the Go driver was measured with."""


@frozen
class RackRun:
    """One rack whose nodes all join one ComputeDomain at once."""

    nodes: int
    cliques: int

    @property
    def allowed(self) -> int:
        """Writes: N + 5 for a clique (issue 5)."""
        return self.nodes + 5 * self.cliques

    async def run(self) -> Figures:
        """Raises NvdraError when the join failed, with what it said."""
        size = ["--nodes", str(self.nodes), "--cliques", str(self.cliques), "--limit", f"{LIMIT:g}"]
        command = [sys.executable, "-m", "nvdra", "sim", "join", *size, "--json"]
        output = await AsyncProcesses().run(command, LIMIT + 60)
        if output is None or output.code != 0:
            raise NvdraError(f"{' '.join(command[1:])} failed: {output.stderr if output else 'it did not end'}")
        found = json.loads(output.stdout)
        by = {what: number for what, number in found["writes_by"].items() if " pods " not in f" {what} "}
        return {
            "nodes": self.nodes,
            "cliques": self.cliques,
            "writes of controller and plugins": found["writes"],
            "writes by kind": by,
            "allowed: nodes + 5 a clique": self.allowed,
            "notes on pods that wait": found["touches"],
            "conflicts": found["conflicts"],
            "first label to domain Ready, s": found["seconds_first_label_to_ready"],
            "last daemon ready to domain Ready, s": found["seconds_last_daemon_to_ready"],
            "domain Ready to all workers running, s": found["seconds_ready_to_all_running"],
            "bytes watched by a node, kB": round(found["bytes_watched_per_node"] / 1e3, 1),
            "bytes watched by the controller, MB": round(found["bytes_watched_by_controller"] / 1e6, 2),
            "memory of all in one process, MiB": found["peak_memory_mib"],
            "load of the machine": round(load(), 1),
        }
