"""Reading plain Kubernetes objects (dicts): names, owners, phases, time stamps. Nothing here talks to anybody."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name; the namespace is "" where there is none."""


def dig(of: Json | None, *path: str) -> Any:
    """The value at a path of keys, or None when anything on the way is missing."""
    here: Any = of
    for step in path:
        if not isinstance(here, dict):
            return None
        here = here.get(step)
    return here


def name(of: Json) -> str:
    """`metadata.name`."""
    return str(of["metadata"].get("name", ""))


def namespace(of: Json) -> str:
    """`metadata.namespace`."""
    return str(of["metadata"].get("namespace") or "")


def key(of: Json) -> Key:
    """Namespace and name."""
    return namespace(of), name(of)


def uid(of: Json) -> str:
    """`metadata.uid`."""
    return str(of["metadata"].get("uid", ""))


def version(of: Json) -> int:
    """`metadata.resourceVersion` as the number that it is in this rack."""
    return int(of["metadata"].get("resourceVersion") or 0)


def labels(of: Json) -> dict[str, str]:
    """`metadata.labels`."""
    return of["metadata"].get("labels") or {}


def annotations(of: Json) -> dict[str, str]:
    """`metadata.annotations`."""
    return of["metadata"].get("annotations") or {}


def deleting(of: Json) -> bool:
    """Somebody asked for its deletion."""
    return bool(of["metadata"].get("deletionTimestamp"))


def owner_of(of: Json) -> Json | None:
    """The owner reference with `controller: true`."""
    return next((o for o in of["metadata"].get("ownerReferences") or () if o.get("controller")), None)


def owned_by(of: Json, owner: Json) -> bool:
    """That owner is the object's controller."""
    reference = owner_of(of)
    return reference is not None and reference["uid"] == uid(owner)


def owner_reference(api_version: str, kind: str, owner: Json) -> Json:
    """A controller's owner reference."""
    found = {"apiVersion": api_version, "kind": kind, "name": name(owner), "uid": uid(owner)}
    return {**found, "controller": True, "blockOwnerDeletion": True}


def phase(pod: Json) -> str:
    """`status.phase` of a Pod."""
    return str(dig(pod, "status", "phase") or "")


def finished(pod: Json) -> bool:
    """It has run to an end and stays there."""
    return phase(pod) in {"Succeeded", "Failed"}


def condition(of: Json, kind: str) -> Json | None:
    """`status.conditions[]` of that type."""
    return next((c for c in dig(of, "status", "conditions") or () if c["type"] == kind), None)


def holds(of: Json, kind: str) -> bool:
    """The condition of that type is True."""
    found = condition(of, kind)
    return found is not None and found["status"] == "True"


def node_of(pod: Json) -> str:
    """`spec.nodeName`, "" before it is bound."""
    return str(dig(pod, "spec", "nodeName") or "")


def pod_claims(pod: Json) -> Iterator[tuple[Json, str | None]]:
    """Every `spec.resourceClaims[]` with the name of its ResourceClaim: None while not made, "" if none is needed."""
    statuses = {s["name"]: s for s in dig(pod, "status", "resourceClaimStatuses") or ()}
    for entry in dig(pod, "spec", "resourceClaims") or ():
        if entry.get("resourceClaimName"):
            yield entry, entry["resourceClaimName"]
            continue
        status = statuses.get(entry["name"])
        yield entry, None if status is None else status.get("resourceClaimName") or ""


WALL: ContextVar[Callable[[], float]] = ContextVar("WALL", default=time.time)
"""Seconds since 1970, as the agents of this rack take them; a rack on virtual time sets its own."""


def now(after: float = 0) -> str:
    """An RFC 3339 time stamp in whole seconds, UTC."""
    return datetime.fromtimestamp(WALL.get()() + after, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_since(stamp: str) -> float:
    """Seconds from a time stamp of the API until now."""
    return WALL.get()() - datetime.fromisoformat(stamp).timestamp()


def digest(of: Any) -> str:
    """Ten hex digits of a JSON value: equal values have equal digests."""
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:10]


def with_condition(conditions: list[Json], kind: str, status: str, reason: str = "", message: str = "") -> list[Json]:
    """The list with that condition set; its transition time moves only when the status does."""
    old = next((c for c in conditions if c["type"] == kind), None)
    moved = old is None or old["status"] != status
    since = now() if moved or old is None else old.get("lastTransitionTime") or now()
    made = {"type": kind, "status": status, "lastTransitionTime": since}
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    return [*(c for c in conditions if c["type"] != kind), made]
