"""Between the stored version of an object and the version that a client speaks. Pure; neither side is changed."""

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

EVENTS_V1 = "events.k8s.io/v1"
_EXACT = ("deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity")
_EVENT_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}


def spoken(obj: Json, version: str) -> Json:
    """The stored object in another version."""
    if version == EVENTS_V1:
        return _renamed(obj, _EVENT_NAMES, EVENTS_V1)
    group = obj["apiVersion"].rpartition("/")[0]
    old = _older(obj) if group == "resource.k8s.io" and version == "v1beta1" else obj
    return {**old, "apiVersion": f"{group}/{version}"}


def stored(obj: Json, storage: str) -> Json:
    """What a client sent, as it is stored."""
    if obj["apiVersion"] == EVENTS_V1:
        return _renamed(obj, {new: old for old, new in _EVENT_NAMES.items()}, "v1")
    new = _newer(obj) if obj["apiVersion"] == "resource.k8s.io/v1beta1" else obj
    return {**new, "apiVersion": storage}


def _renamed(obj: Json, names: dict[str, str], version: str) -> Json:
    return {**{names.get(key, key): value for key, value in obj.items()}, "apiVersion": version}


def _older(obj: Json) -> Json:
    """v1 as v1beta1."""
    return _converted(obj, _flat_request, _basic_device)


def _newer(obj: Json) -> Json:
    """v1beta1 as v1."""
    return _converted(obj, _exact_request, _plain_device)


def _converted(obj: Json, request: Callable[[Json], Json], device: Callable[[Json], Json]) -> Json:
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return obj
    match obj["kind"]:
        case "ResourceSlice":
            return {**obj, "spec": _each(spec, "devices", device)}
        case "ResourceClaim":
            return {**obj, "spec": _claim_spec(spec, request)}
        case "ResourceClaimTemplate" if isinstance(spec.get("spec"), dict):
            return {**obj, "spec": {**spec, "spec": _claim_spec(spec["spec"], request)}}
    return obj


def _claim_spec(spec: Json, request: Callable[[Json], Json]) -> Json:
    devices = spec.get("devices")
    return {**spec, "devices": _each(devices, "requests", request)} if isinstance(devices, dict) else spec


def _each(parent: Json, name: str, convert: Callable[[Json], Json]) -> Json:
    items = parent.get(name)
    if not isinstance(items, list):
        return parent
    return {**parent, name: [convert(item) if isinstance(item, dict) else item for item in items]}


def _flat_request(request: Json) -> Json:
    exactly = request.get("exactly")
    rest = {key: value for key, value in request.items() if key != "exactly"}
    return {**rest, **exactly} if isinstance(exactly, dict) else rest


def _exact_request(request: Json) -> Json:
    exactly = {key: request[key] for key in _EXACT if key in request}
    rest = {key: value for key, value in request.items() if key not in _EXACT}
    return {**rest, "exactly": exactly} if exactly else rest


def _basic_device(device: Json) -> Json:
    basic = {key: value for key, value in device.items() if key != "name"}
    return {"name": device.get("name", ""), "basic": basic}


def _plain_device(device: Json) -> Json:
    basic = device.get("basic")
    return {"name": device.get("name", ""), **(basic if isinstance(basic, dict) else {})}
