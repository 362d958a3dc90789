"""What the driver may write, and of whose; everything else is somebody else's. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from nvdra.api import names

OURS: Final = ("controller", "plugin", "imexd")
LABELS: Final = frozenset({names.DOMAIN_LABEL, names.CLIQUE_LABEL, names.JOIN_LABEL})
STRANGER: Final = "99999999-9999-9999-9999-999999999999"
"""A domain that nobody here knows: its label is an orphan, which may be taken off, and never written over."""
Json = Mapping[str, Any]


def touched(writer: str, type_: str, plural: str, old: Json | None, new: Json) -> str:
    """What a process of ours did that it may not do; "" when nothing."""
    if not writer.startswith(OURS):
        return ""
    writer = writer.partition(" ")[0]
    what = f"{plural} {new['metadata']['name']}"
    match plural:
        case "nodes":
            return _node(writer, old, new)
        case "pods":
            return _pod(type_, old, new)
        case "computedomains":
            return f"changes the spec of {what}" if old is not None and old.get("spec") != new.get("spec") else ""
        case "daemonsets" | "networkpolicies" | "resourceclaimtemplates" | "computedomaincliques":
            labels = ((old or new)["metadata"].get("labels")) or {}
            return "" if names.DOMAIN_LABEL in labels else f"writes {what}, which is not ours"
        case "resourceslices":
            spec = new["spec"]
            own = spec["driver"] == names.CD_DRIVER and writer == f"plugin@{spec['nodeName']}"
            return "" if own else f"writes {what}, which is not its own"
        case "leases" | "events":
            return ""
    return f"writes {what}, which it has nothing to do with"


def _node(writer: str, old: Json | None, new: Json) -> str:
    name = new["metadata"]["name"]
    if old is None:
        return f"makes node {name}"
    before, after = (dict(body["metadata"].get("labels") or {}) for body in (old, new))
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    if changed - LABELS:
        return f"changes labels of node {name} that are not ours: {sorted(changed - LABELS)}"
    if any(old.get(part) != new.get(part) for part in ("spec", "status")):
        return f"changes more of node {name} than its labels"
    if names.DOMAIN_LABEL in changed and None not in (before.get(names.DOMAIN_LABEL), after.get(names.DOMAIN_LABEL)):
        return f"gives node {name} of one domain to another"
    if writer.startswith("plugin@") and writer != f"plugin@{name}":
        return f"labels another node, {name}"
    return ""


def _pod(type_: str, old: Json | None, new: Json) -> str:
    name, labels = new["metadata"]["name"], new["metadata"].get("labels") or {}
    if old is None:
        return f"makes pod {name}"
    ending = type_ == "DELETED" or "deletionTimestamp" in new["metadata"]
    if ending and "deletionTimestamp" not in old["metadata"] and names.DOMAIN_LABEL not in labels:
        return f"deletes pod {name}, which is a user's"
    if any(old.get(part) != new.get(part) for part in ("spec", "status")):
        return f"changes more of pod {name} than its annotations"
    return ""
