"""The rack's control plane in one object: all mirrors, all controllers, the scheduler."""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from typing import Any

from attrs import define, field

from nvdra.api.kind import Kind
from nvdra.errors import AlreadyExists
from nvdra.sim.kube import kinds
from nvdra.sim.kube.controllers import mpimanifests
from nvdra.sim.kube.controllers.claims import Claims
from nvdra.sim.kube.controllers.daemonset import DaemonSets
from nvdra.sim.kube.controllers.discovery import FeatureDiscovery
from nvdra.sim.kube.controllers.job import Jobs
from nvdra.sim.kube.controllers.mpijob import MpiJobs
from nvdra.sim.kube.controllers.podgc import PodGarbage
from nvdra.sim.kube.kubelet.agent import PodFeed
from nvdra.sim.kube.mirror import Mirror
from nvdra.sim.kube.removal import NodeCluster, remove
from nvdra.sim.kube.scheduler import Mirrors, Scheduler
from nvdra.sim.kube.shapes import Json


@define(eq=False)
class ControlPlane:
    """Everything that is not on a node. `cliques`: node name to the clique that feature discovery tells.

    `governed`: label selector of the nodes and pods that it is for; somebody else plays the rest.
    """

    cluster: NodeCluster
    cliques: Mapping[str, str] = field(factory=dict)
    governed: str = ""
    feed: PodFeed = field(init=False)
    pods: Mirror = field(init=False)
    nodes: Mirror = field(init=False)
    discovery: FeatureDiscovery = field(init=False)
    _tasks: "list[asyncio.Task[Any]]" = field(factory=list, init=False)

    async def start(self) -> None:
        """Register the MPIJob CRD, see everything once, then start working."""
        with contextlib.suppress(AlreadyExists):
            await self.cluster.create(kinds.CRDS, mpimanifests.crd())
        self.pods = Mirror(self.cluster, kinds.PODS, labels=self.governed)
        self.nodes = Mirror(self.cluster, kinds.NODES, labels=self.governed)
        jobs, claims = self._mirror(kinds.JOBS), self._mirror(kinds.CLAIMS)
        sets, mpi_jobs = self._mirror(kinds.DAEMON_SETS), self._mirror(kinds.MPI_JOBS)
        seen = Mirrors(self.nodes, self.pods, claims, self._mirror(kinds.CLASSES), self._mirror(kinds.SLICES))
        mirrors = [self.pods, self.nodes, jobs, claims, sets, mpi_jobs, seen.classes, seen.slices]
        for mirror in mirrors:
            self._run(mirror.run())
        await asyncio.gather(*(mirror.synced.wait() for mirror in mirrors))
        self.feed = PodFeed(self.pods)
        self.discovery = FeatureDiscovery(self.cluster, self.nodes, self.cliques)
        claims_controller = Claims(self.cluster, claims, self.pods)
        for work in (
            self.discovery.loop.run(),
            DaemonSets(self.cluster, sets, self.pods, self.nodes).loop.run(),
            Jobs(self.cluster, jobs, self.pods).loop.run(),
            MpiJobs(self.cluster, mpi_jobs, jobs, self.pods).loop.run(),
            claims_controller.pod_loop.run(),
            claims_controller.claim_loop.run(),
            PodGarbage(self.pods, self.nodes, self._remove).loop.run(),
            Scheduler(self.cluster, seen).loop.run(),
        ):
            self._run(work)

    async def stop(self) -> None:
        """Stop all of it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def _mirror(self, kind: Kind[Json]) -> Mirror:
        return Mirror(self.cluster, kind)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.ensure_future(work))

    async def _remove(self, pod: Json) -> None:
        await remove(self.cluster, pod)
