"""Jobs: pods until enough of them have succeeded or too many have failed."""

from typing import Final

from nvdra.ports import Cluster
from nvdra.sim.kube import kinds
from nvdra.sim.kube.controllers.pods import OwnedPods
from nvdra.sim.kube.loop import Loop
from nvdra.sim.kube.mirror import Mirror
from nvdra.sim.kube.recorder import Recorder
from nvdra.sim.kube.shapes import (
    Json,
    Key,
    condition,
    deleting,
    dig,
    holds,
    key,
    labels,
    name,
    namespace,
    now,
    phase,
    uid,
    with_condition,
)

_FINISHED: Final = ("Complete", "Failed")


class Jobs:
    """The Job controller. Indexed completion and suspension are refused by a Failed condition that says so."""

    def __init__(self, cluster: Cluster, jobs: Mirror, pods: Mirror) -> None:
        self._cluster = cluster
        self._jobs = jobs
        self.loop: Loop[Key] = Loop("job controller", self._work)
        self._owned = OwnedPods(cluster, pods, "Job", self.loop.add)
        self._events = Recorder(cluster, "job-controller")
        self._counted: dict[str, dict[str, str]] = {}
        jobs.listen(lambda old, new: self.loop.add(key(new)) if new else self._forget(old))

    def _forget(self, job: Json | None) -> None:
        if job is not None:
            self._counted.pop(uid(job), None)

    async def _work(self, which: Key) -> None:
        job = self._jobs.items.get(which)
        if job is None or deleting(job) or any(holds(job, kind) for kind in _FINISHED):
            return
        refused = refusal(job)
        if refused:
            await self._end(job, "Failed", "UnsupportedByRack", refused, self._status(job))
            return
        status = self._status(job)
        if status["succeeded"] >= _completions(job):
            await self._end(job, "Complete", "CompletionsReached", "Reached expected number of succeeded pods", status)
            return
        if status["failed"] > job["spec"].get("backoffLimit", 6):
            await self._fail(job, status)
            return
        await self._start_missing(job, status)
        await self._report(job, self._status(job))

    async def _start_missing(self, job: Json, status: Json) -> None:
        parallel = min(job["spec"].get("parallelism", 1), _completions(job) - status["succeeded"])
        for _ in range(parallel - status["active"]):
            pod = await self._owned.make("batch/v1", job, template_of(job), {"generateName": f"{name(job)}-"})
            await self._events.tell(job, "Job", "SuccessfulCreate", f"Created pod: {name(pod)}")

    async def _fail(self, job: Json, status: Json) -> None:
        for pod in self._owned.of(job):
            if phase(pod) in {"", "Pending", "Running"}:
                await self._owned.delete(pod)
        text = "Job has reached the specified backoff limit"
        await self._end(job, "Failed", "BackoffLimitExceeded", text, status)

    async def _end(self, job: Json, kind: str, reason: str, message: str, status: Json) -> None:
        before = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[kind]
        conditions = with_condition(dig(job, "status", "conditions") or [], before, "True", reason, message)
        status = {**status, "conditions": with_condition(conditions, kind, "True", reason, message), "active": 0}
        if kind == "Complete":
            status["completionTime"] = now()
        await self._report(job, {**status, "ready": 0})
        told = ("Completed", "Job completed") if kind == "Complete" else (reason, message)
        await self._events.tell(job, "Job", *told, warning=kind == "Failed")

    def _status(self, job: Json) -> Json:
        pods = self._owned.of(job)
        counted = self._counted.setdefault(uid(job), {})
        counted |= {uid(pod): phase(pod) for pod in pods if phase(pod) in {"Succeeded", "Failed"}}
        active = [pod for pod in pods if not deleting(pod) and uid(pod) not in counted]
        ended = list(counted.values())
        return {
            "active": len(active),
            "ready": sum(holds(pod, "Ready") for pod in active),
            "succeeded": ended.count("Succeeded"),
            "failed": ended.count("Failed"),
            "startTime": dig(job, "status", "startTime") or now(),
        }

    async def _report(self, job: Json, status: Json) -> None:
        if status == {k: v for k, v in (job.get("status") or {}).items() if k in status}:
            return
        patch = {"metadata": {"uid": uid(job)}, "status": status}
        done = await self._cluster.patch(kinds.JOBS, name(job), patch, namespace(job), subresource="status")
        self._jobs.put(done)


def refusal(job: Json) -> str:
    """Why this rack cannot run the Job as it is written; "" when it can."""
    spec = job["spec"]
    if spec.get("completionMode", "NonIndexed") != "NonIndexed":
        return "the rack's Job controller knows no Indexed completion; leave completionMode out"
    if spec.get("suspend"):
        return "the rack's Job controller cannot suspend; leave suspend out"
    if dig(spec, "template", "spec", "restartPolicy") not in {"Never", "OnFailure"}:
        return "a Job's pods need restartPolicy Never or OnFailure"
    return ""


def template_of(job: Json) -> Json:
    """The pod template with the labels that a Job's pods have."""
    template = job["spec"]["template"]
    meta = template.get("metadata") or {}
    mine = {"job-name": name(job), "controller-uid": uid(job)}
    mine |= {f"batch.kubernetes.io/{k}": v for k, v in mine.items()}
    return {"metadata": {**meta, "labels": {**(meta.get("labels") or {}), **mine}}, "spec": template["spec"]}


def outcome(job: Json | None) -> Json | None:
    """The condition that ended a Job, None while it goes on."""
    return next((c for k in _FINISHED if job and (c := condition(job, k)) and c["status"] == "True"), None)


def belongs(pod: Json, job: str) -> bool:
    """A pod of the Job of that name."""
    return labels(pod).get("job-name") == job


def _completions(job: Json) -> int:
    return int(job["spec"].get("completions") or 1)
