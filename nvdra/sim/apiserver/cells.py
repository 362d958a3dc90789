"""How a cell of `kubectl get` is made of an object. Pure."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
Value = Callable[[Json, float], Any]


def duration(seconds: float) -> str:
    """A length of time in two units at most, as kubectl writes it."""
    total = max(0, int(seconds))
    if total < 120:
        return f"{total}s"
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if minutes < 10:
        return f"{minutes}m{total % 60}s" if total % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y{days % 365}d"


def since(stamp: Any, now: float) -> str:
    """How long ago a time stamp was."""
    if not isinstance(stamp, str) or not stamp:
        return "<unknown>"
    return duration(now - datetime.fromisoformat(stamp).astimezone(UTC).timestamp())


def at(path: str, missing: Any = "<none>") -> Value:
    """The value at a dotted path."""
    parts = path.split(".")

    def value(obj: Json, _: float) -> Any:
        found: Any = obj
        for part in parts:
            found = found.get(part) if isinstance(found, dict) else None
        return missing if found in (None, "") else found

    return value


def aged(path: str) -> Value:
    """The age of a time stamp at a dotted path."""
    return lambda obj, now: since(at(path, None)(obj, now), now)


def pod_ready(pod: Json, _: float) -> str:
    """Ready containers of all."""
    containers = pod.get("status", {}).get("containerStatuses") or []
    return f"{sum(bool(c.get('ready')) for c in containers)}/{len(pod.get('spec', {}).get('containers') or [])}"


def pod_status(pod: Json, _: float) -> str:
    """The phase, or the reason that says more."""
    status = pod.get("status", {})
    shown = status.get("reason") or status.get("phase", "")
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        for how in ("waiting", "terminated"):
            if (state.get(how) or {}).get("reason"):
                shown = state[how]["reason"]
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    return str(shown)


def restarts(pod: Json, _: float) -> str:
    """How often its containers were started again."""
    return str(sum(c.get("restartCount", 0) for c in pod.get("status", {}).get("containerStatuses") or []))


def node_status(node: Json, _: float) -> str:
    """Ready or not, schedulable or not."""
    ready = [c for c in node.get("status", {}).get("conditions") or [] if c.get("type") == "Ready"]
    words = ["Ready" if ready and ready[0].get("status") == "True" else "NotReady" if ready else "Unknown"]
    if node.get("spec", {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def roles(node: Json, _: float) -> str:
    """From its role labels."""
    prefix = "node-role.kubernetes.io/"
    labels = node["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or "<none>"


def address(node: Json, _: float) -> str:
    """Its internal address."""
    addresses = node.get("status", {}).get("addresses") or []
    return next((a.get("address", "") for a in addresses if a.get("type") == "InternalIP"), "<none>")


def selector(path: str) -> Value:
    """A map of labels, as one writes it."""

    def value(obj: Json, now: float) -> str:
        labels = at(path, {})(obj, now)
        return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>"

    return value


def job_status(job: Json, _: float) -> str:
    """The condition that holds."""
    for condition in job.get("status", {}).get("conditions") or []:
        if condition.get("status") == "True" and condition.get("type") in ("Complete", "Failed", "Suspended"):
            return str(condition["type"])
    return "Running"


def completions(job: Json, _: float) -> str:
    """How many of how many."""
    return f"{job.get('status', {}).get('succeeded', 0)}/{job.get('spec', {}).get('completions', 1)}"


def job_duration(job: Json, now: float) -> str:
    """From start to end, or till now."""
    status = job.get("status", {})
    if not status.get("startTime"):
        return ""
    end = status.get("completionTime")
    start = datetime.fromisoformat(status["startTime"]).timestamp()
    return duration((datetime.fromisoformat(end).timestamp() if end else now) - start)


def last_seen(event: Json, now: float) -> str:
    """When it last happened."""
    series = event.get("series") or {}
    return since(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp"),
        now,
    )


def event_object(event: Json, _: float) -> str:
    """Kind and name of what it is about."""
    about = event.get("involvedObject") or {}
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def claim_state(claim: Json, _: float) -> str:
    """pending, or allocated and reserved."""
    status = claim.get("status") or {}
    states = ["deleted"] if "deletionTimestamp" in claim["metadata"] else []
    if status.get("allocation"):
        states.append("allocated")
        states.append("reserved") if status.get("reservedFor") else None
    else:
        states.append("pending")
    return ",".join(states)


def count(path: str) -> Value:
    """How many entries there are at a path."""
    return lambda obj, now: len(at(path, ())(obj, now))


def ratio(part: str, whole: str) -> Value:
    """Two numbers as 1/2."""
    return lambda obj, now: f"{at(part, 0)(obj, now)}/{at(whole, 0)(obj, now)}"
