"""MPIJobs: the workers first, then the launcher, as the MPI operator does it."""

from collections.abc import Callable, Sequence

from nvdra.api.kind import Kind
from nvdra.errors import AlreadyExists, NotFound
from nvdra.ports import Cluster
from nvdra.sim.kube import kinds
from nvdra.sim.kube.controllers import mpimanifests as manifests
from nvdra.sim.kube.controllers.job import outcome
from nvdra.sim.kube.controllers.pods import OwnedPods
from nvdra.sim.kube.loop import Loop
from nvdra.sim.kube.mirror import Mirror
from nvdra.sim.kube.recorder import Recorder
from nvdra.sim.kube.shapes import (
    Json,
    Key,
    deleting,
    dig,
    holds,
    key,
    name,
    namespace,
    now,
    owner_of,
    phase,
    uid,
    with_condition,
)

NewKey = Callable[[], manifests.SshKey]


class MpiJobs:
    """Stand-in for the MPI operator.

    `new_key` is for a real mpirun on a cluster without DNS: pods have ssh keys, and the launcher, which then always
    waits for its workers, knows their addresses by hostAliases. The rack's mpirun needs neither.
    """

    def __init__(
        self, cluster: Cluster, mpi_jobs: Mirror, jobs: Mirror, pods: Mirror, new_key: NewKey | None = None
    ) -> None:
        self._cluster = cluster
        self._new_key = new_key
        self._mpi_jobs = mpi_jobs
        self._jobs = jobs
        self.loop: Loop[Key] = Loop("mpi operator", self._work)
        self._owned = OwnedPods(cluster, pods, "MPIJob", self.loop.add)
        self._events = Recorder(cluster, "mpi-job-controller")
        mpi_jobs.listen(lambda _, new: self.loop.add(key(new)) if new else None)
        jobs.listen(self._launcher_changed)

    def _launcher_changed(self, old: Json | None, new: Json | None) -> None:
        job = new or old
        owner = owner_of(job) if job else None
        if job and owner and owner["kind"] == "MPIJob":
            self.loop.add((namespace(job), owner["name"]))

    async def _work(self, which: Key) -> None:
        job = self._mpi_jobs.items.get(which)
        if job is None or deleting(job):
            return
        if any(holds(job, kind) for kind in ("Succeeded", "Failed")):
            await self._clean(job)
            return
        if not dig(job, "spec", "mpiReplicaSpecs", "Launcher", "template"):
            await self._report(job, [("Failed", "InvalidSpec", "spec.mpiReplicaSpecs.Launcher.template is missing")])
            return
        if not dig(job, "status", "conditions"):
            text = f"MPIJob {namespace(job)}/{name(job)} is created."
            await self._events.tell(job, "MPIJob", "MPIJobCreated", text)
            job = await self._report(job, [("Created", "MPIJobCreated", text)])
        await self._make(kinds.SERVICES, manifests.service(job))
        await self._make(kinds.CONFIG_MAPS, manifests.config_map(job))
        await self._secret(job)
        workers = await self._workers(job)
        await self._launch(job, workers)

    async def _workers(self, job: Json) -> Sequence[Json]:
        there = {name(pod): pod for pod in self._owned.of(job)}
        for index in range(manifests.replicas(job)):
            wanted = manifests.worker_name(job, index)
            if wanted in there:
                continue
            template = manifests.worker_template(job, index)
            if self._new_key:
                template["spec"] = manifests.with_ssh(template["spec"], job)
            try:
                there[wanted] = await self._owned.make(manifests.API_VERSION, job, template, {"name": wanted})
            except AlreadyExists as error:
                await self._events.tell(job, "MPIJob", "PodNameTaken", str(error), warning=True)
                raise
        return list(there.values())

    async def _launch(self, job: Json, workers: Sequence[Json]) -> None:
        launcher = self._jobs.get(f"{name(job)}-launcher", namespace(job))
        waits = bool(self._new_key) or dig(job, "spec", "launcherCreationPolicy") == "WaitForWorkersReady"
        ready = sum(holds(pod, "Ready") for pod in workers)
        if launcher is None and (not waits or ready >= manifests.replicas(job)):
            launcher = await self._make(kinds.JOBS, self._launcher(job, workers))
        ended = outcome(launcher)
        if ended is not None:
            await self._ended(job, ended)
            return
        if launcher is not None and dig(launcher, "status", "ready") and ready >= manifests.replicas(job):
            text = f"MPIJob {namespace(job)}/{name(job)} is running."
            await self._report(job, [("Running", "MPIJobRunning", text)])
            return
        await self._report(job, [])

    def _launcher(self, job: Json, workers: Sequence[Json]) -> Json:
        launcher = manifests.launcher(job)
        if self._new_key:
            template = launcher["spec"]["template"]
            addresses = {manifests.host_name(job, name(pod)): dig(pod, "status", "podIP") for pod in workers}
            template["spec"] = manifests.with_host_aliases(manifests.with_ssh(template["spec"], job), addresses)
        return launcher

    async def _secret(self, job: Json) -> None:
        if self._new_key is None:
            return
        try:
            await self._cluster.get(kinds.SECRETS, manifests.ssh_secret_name(job), namespace(job))
        except NotFound:
            await self._cluster.create(kinds.SECRETS, manifests.ssh_secret(job, self._new_key()), namespace(job))

    async def _ended(self, job: Json, ended: Json) -> None:
        good = ended["type"] == "Complete"
        text = f"MPIJob {namespace(job)}/{name(job)} {'successfully completed.' if good else 'has failed'}"
        kind, reason = ("Succeeded", "MPIJobSucceeded") if good else ("Failed", "MPIJobFailed")
        text = text if good else f"{text}: {ended.get('message', '')}"
        job = await self._report(job, [(kind, reason, text)])
        await self._events.tell(job, "MPIJob", reason, text, warning=not good)
        await self._clean(job)

    async def _clean(self, job: Json) -> None:
        policy = dig(job, "spec", "runPolicy", "cleanPodPolicy") or "None"
        for pod in self._owned.of(job):
            going = policy == "All" or (policy == "Running" and phase(pod) in {"Running", "Pending", ""})
            if going and not deleting(pod):
                await self._owned.delete(pod)

    async def _make(self, kind: Kind[Json], body: Json) -> Json:
        where = body["metadata"]["namespace"]
        try:
            return await self._cluster.get(kind, name(body), where)
        except NotFound:
            return await self._cluster.create(kind, body, where)

    async def _report(self, job: Json, conditions: Sequence[tuple[str, str, str]]) -> Json:
        old = job.get("status") or {}
        listed: list[Json] = list(old.get("conditions") or [])
        for kind, reason, message in conditions:
            if not any(c["type"] == kind and c["status"] == "True" for c in listed):
                listed = with_condition(listed, kind, "True", reason, message)
            if kind in {"Succeeded", "Failed"}:
                listed = [{**c, "status": "False"} if c["type"] == "Running" else c for c in listed]
        status = {**old, "conditions": listed, "replicaStatuses": self._replicas(job)}
        status.setdefault("startTime", now())
        if any(kind in {"Succeeded", "Failed"} for kind, _, _ in conditions):
            status.setdefault("completionTime", now())
        if status == old:
            return job
        patch = {"metadata": {"uid": uid(job)}, "status": status}
        done = await self._cluster.patch(kinds.MPI_JOBS, name(job), patch, namespace(job), subresource="status")
        self._mpi_jobs.put(done)
        return done

    def _replicas(self, job: Json) -> Json:
        phases = [phase(pod) for pod in self._owned.of(job)]
        launcher = self._jobs.get(f"{name(job)}-launcher", namespace(job))
        counts = dig(launcher, "status") or {}
        worker = {"active": phases.count("Running"), "failed": phases.count("Failed")}
        return {
            "Launcher": {k: v for k in ("active", "succeeded", "failed") if (v := counts.get(k))},
            "Worker": {k: v for k, v in worker.items() if v},
        }
