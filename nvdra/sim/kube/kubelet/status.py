"""Pure: a pod's status as the kubelet writes it."""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from nvdra.sim.kube.runtime.containers import Container, Ended
from nvdra.sim.kube.shapes import Json, dig, with_condition

HOST_IP: Final = "127.0.0.1"


@frozen
class View:
    """One container of the spec: its newest start and the one before, and what it waits for if it does not run."""

    spec: Json
    current: Container | None = None
    previous: Container | None = None
    waiting: tuple[str, str] | None = ("ContainerCreating", "")
    restarts: int = 0


@frozen
class PodView:
    """All that a pod's status is made from. `over`: its phase is final."""

    containers: Sequence[View]
    init: Sequence[View]
    ip: str
    started_at: str
    over: bool = False
    refused: tuple[str, str] | None = None


def status_of(pod: Json, seen: PodView) -> Json:
    """The whole status that the kubelet owns."""
    phase = "Failed" if seen.refused else _phase(seen)
    ready = phase == "Running" and all(_ready(view) for view in seen.containers)
    conditions: list[Json] = list(dig(pod, "status", "conditions") or [])
    initialized = all(view.current and view.current.ended and view.current.ended.code == 0 for view in seen.init)
    done = phase in {"Succeeded", "Failed"}
    why = ("PodCompleted", "") if done else _unready(seen.containers)
    startable = bool(seen.ip) and not done
    for kind, holds, reason in (
        ("PodReadyToStartContainers", startable, ("", "") if startable else ("PodSandboxNotReady", "")),
        ("Initialized", initialized or phase == "Succeeded", why if done else ("", "")),
        ("Ready", ready, ("", "") if ready else why),
        ("ContainersReady", ready, ("", "") if ready else why),
    ):
        conditions = with_condition(conditions, kind, str(holds), *reason)
    status: Json = {
        "phase": phase,
        "conditions": conditions,
        "startTime": seen.started_at,
        "containerStatuses": [_container(view) for view in seen.containers],
        "qosClass": "BestEffort" if not _asks_for_anything(pod) else "Burstable",
    }
    if seen.init:
        status["initContainerStatuses"] = [_container(view) for view in seen.init]
    if seen.ip:
        status |= {"podIP": seen.ip, "podIPs": [{"ip": seen.ip}], "hostIP": HOST_IP, "hostIPs": [{"ip": HOST_IP}]}
    if seen.refused:
        status |= {"reason": seen.refused[0], "message": seen.refused[1]}
    return status


def _phase(seen: PodView) -> str:
    ends = [view.current.ended if view.current else None for view in seen.containers]
    if seen.over:
        return "Succeeded" if all(end and end.code == 0 for end in ends) else "Failed"
    if any(view.current is None for view in seen.containers):
        return "Pending"
    return "Running"


def _ready(view: View) -> bool:
    return view.current is not None and view.current.ended is None and view.current.ready


def _unready(views: Sequence[View]) -> tuple[str, str]:
    names = [view.spec["name"] for view in views if not _ready(view)]
    return "ContainersNotReady", f"containers with unready status: [{' '.join(names)}]"


def _container(view: View) -> Json:
    current = view.current
    status: Json = {
        "name": view.spec["name"],
        "image": view.spec.get("image", ""),
        "imageID": "",
        "ready": _ready(view),
        "started": current is not None and current.ended is None and current.started_up,
        "restartCount": current.attempt if current else view.restarts,
        "state": _state(view),
        "lastState": {},
    }
    if current is not None:
        status["containerID"] = current.id
        before = current if current.ended and view.waiting else view.previous
        if before is not None and before.ended is not None:
            status["lastState"] = {"terminated": _terminated(before, before.ended)}
    return status


def _state(view: View) -> Json:
    if view.waiting is not None and (view.current is None or view.current.ended):
        reason, message = view.waiting
        return {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    if view.current is None:
        return {"waiting": {"reason": "ContainerCreating"}}
    if view.current.ended is not None:
        return {"terminated": _terminated(view.current, view.current.ended)}
    return {"running": {"startedAt": view.current.started_at}}


def _terminated(container: Container, ended: Ended) -> Json:
    found: Json = {"exitCode": ended.code, "reason": ended.reason, "startedAt": container.started_at}
    found |= {"finishedAt": ended.at, "containerID": container.id}
    if ended.message:
        found["message"] = ended.message
    return found


def _asks_for_anything(pod: Json) -> bool:
    resources = [container.get("resources") or {} for container in pod["spec"]["containers"]]
    return any(set(r.get(kind) or {}) & {"cpu", "memory"} for r in resources for kind in ("limits", "requests"))
