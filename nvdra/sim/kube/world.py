"""What a launcher's mpirun and `kubectl logs` can reach: the pods of all nodes, and the nodes' IMEX state."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from attrs import define

from nvdra.errors import NotFound
from nvdra.sim.kube.nodes import RackNode
from nvdra.sim.kube.runtime.containers import Runtime, Sandbox
from nvdra.sim.kube.runtime.logs import read
from nvdra.sim.kube.runtime.mpirun import ImexView, Worker
from nvdra.sim.kube.shapes import Key

ImexOf = Callable[[str], ImexView]
"""The state of the IMEX daemon of a node, by the node's name; given by the rack."""


@define(eq=False)
class RackWorld:
    """Implements the World of mpirun, and the API server's log and exec provider."""

    nodes: Mapping[str, RackNode]
    imex: ImexOf

    def worker(self, namespace: str, pod: str) -> Worker | None:
        """The running pod of that name."""
        found = self._find((namespace, pod))
        if found is None:
            return None
        node, _, sandbox = found
        running = [container for container in sandbox.containers.values() if container.ended is None]
        return Worker(pod, node, running[0].rootfs, self.imex(node)) if running else None

    async def logs(
        self, namespace: str, name: str, container: str, previous: bool = False, follow: bool = False
    ) -> AsyncIterator[bytes]:
        """A container's log as it is on disk; with `follow`, what is added until the container ends."""
        found = self._find((namespace, name))
        where = found[1].log_path((namespace, name), container, previous=previous) if found else None
        if where is None:
            kind = "previous terminated container" if previous else "container"
            raise NotFound(f'{kind} "{container}" in pod "{name}" not found', code=404, reason="NotFound")
        path, goes_on = where
        async for chunk in read(path, goes_on if follow else lambda: False):
            yield chunk

    async def execute(
        self, namespace: str, name: str, container: str, argv: Sequence[str], say: Callable[[str], None]
    ) -> int:
        """Run a command in a running container; its exit code."""
        found = self._find((namespace, name))
        running = found[2].containers.get(container) if found else None
        if found is None or running is None or running.ended is not None:
            raise NotFound(f'container "{container}" of pod "{name}" does not run', code=404, reason="NotFound")
        return await found[1].run(running, argv, say)

    def _find(self, pod: Key) -> tuple[str, Runtime, Sandbox] | None:
        for node_name, node in self.nodes.items():
            for sandbox in node.runtime.sandboxes.values():
                if sandbox.pod == pod:
                    return node_name, node.runtime, sandbox
        return None
