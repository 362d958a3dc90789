"""Which lists are maps or sets in disguise, by the names of their fields; and which objects are one value."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
Keys = tuple[str, ...]

_NAMED = ("containers", "initContainers", "ephemeralContainers", "env", "volumes", "imagePullSecrets", "resourceClaims",
          "resourceClaimStatuses", "claims", "secrets")  # fmt: skip
KEYS: Mapping[str, Keys] = {
    **dict.fromkeys(_NAMED, ("name",)),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "readinessGates": ("conditionType",),
    "schedulingGates": ("name",),
    "addresses": ("type", "address"),
    "podIPs": ("ip",),
    "hostIPs": ("ip",),
    "reservedFor": ("uid",),
    "managedFields": ("manager", "operation", "apiVersion", "subresource"),
}
"""Lists of objects that are known by some of their fields, for server-side apply and strategic merge alike."""

_STRATEGIC: Mapping[str, Keys] = {
    "taints": ("key",),
    "addresses": ("type",),
    "topologySpreadConstraints": ("topologyKey",),
}
"""Where strategic merge differs: one key, by the field's patchMergeKey."""
_STRATEGIC_ATOMIC = frozenset({"managedFields"})
SETS = frozenset({"finalizers"})
ATOMIC_MAPS = frozenset({"nodeSelector", "selector", "labelSelector", "podSelector", "fieldRef", "resourceFieldRef",
                         "secretKeyRef", "configMapKeyRef", "claimRef", "roleRef", "involvedObject"})  # fmt: skip
"""Objects that are owned and replaced as a whole."""


def keys(field: str, parent: str, items: Any) -> Keys | None:
    """The keys of a list of a built-in kind, for server-side apply; None when it is one value."""
    if field == "ports":
        return ("containerPort", "protocol") if _has(items, "containerPort") else ("port", "protocol")
    if field == "devices":
        return ("driver", "device", "pool", "shareID") if parent == "status" and _has(items, "device") else None
    return KEYS.get(field)


def merge_key(field: str, items: Any) -> str | None:
    """The key of a list of a built-in kind, for strategic merge; None when it is replaced as a whole."""
    if field == "ports":
        return "containerPort" if _has(items, "containerPort") else "port"
    if field in _STRATEGIC_ATOMIC:
        return None
    found = _STRATEGIC.get(field) or KEYS.get(field)
    return found[0] if found else None


def _has(items: Any, key: str) -> bool:
    return isinstance(items, list) and any(isinstance(item, dict) and key in item for item in items)
