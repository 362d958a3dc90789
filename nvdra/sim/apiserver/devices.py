"""Rules of resource.k8s.io: what must not change, and the limits."""

import json
from collections.abc import Iterator
from typing import Any

from nvdra.sim.apiserver.checks import driver, immutable, labels, named_once, required, too_many
from nvdra.sim.apiserver.meta import is_subdomain
from nvdra.sim.apiserver.status import Flaw

Json = dict[str, Any]

_MAX_PARAMETERS = 10 * 1024
_MAX_CONSUMERS = 256
_MAX_RESULTS = 32
_MAX_REQUESTS = 32
_MAX_DEVICES = 128
_MAX_TAINTED_DEVICES = 64
_MAX_ATTRIBUTES = 32
_MAX_TEXT = 64
_MAX_IDENTIFIER = 32
_PLACEMENTS = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


def claim(new: Json, old: Json | None) -> Iterator[Flaw]:
    """A ResourceClaim."""
    if old is not None:
        yield from immutable("spec", new.get("spec"), old.get("spec"))
    else:
        yield from _claim_spec(new.get("spec") or {}, "spec")
    status, before = new.get("status") or {}, (old or {}).get("status") or {}
    if status != before:
        yield from _claim_status(status, before, deleting="deletionTimestamp" in new["metadata"])


def _claim_spec(spec: Json, path: str) -> Iterator[Flaw]:
    devices = spec.get("devices") or {}
    requests = devices.get("requests") or []
    where = f"{path}.devices.requests"
    for part in ("requests", "constraints", "config"):
        yield from too_many(f"{path}.devices.{part}", devices.get(part), _MAX_REQUESTS)
    yield from labels(where, requests)
    yield from named_once(where, requests)
    for index, request in enumerate(requests):
        yield from _request(request, f"{where}[{index}]")
    known = {request.get("name", "") for request in requests}
    known |= {f"{r.get('name')}/{sub.get('name')}" for r in requests for sub in r.get("firstAvailable") or []}
    for index, config in enumerate(devices.get("config") or []):
        at = f"{path}.devices.config[{index}]"
        for name in config.get("requests") or []:
            if name not in known:
                yield Flaw(f"{at}.requests", f'Invalid value: "{name}": must be the name of a request in the claim')
        yield from _opaque(config, at)


def _request(request: Json, path: str) -> Iterator[Flaw]:
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable")
    if bool(exactly) == bool(alternatives):
        yield Flaw(
            path, "Required value: exactly one of `exactly` or `firstAvailable` is required", "FieldValueRequired"
        )
    parts = [(f"{path}.exactly", exactly)] if exactly else []
    parts += [(f"{path}.firstAvailable[{i}]", sub) for i, sub in enumerate(alternatives or [])]
    for where, part in parts:
        yield from required(f"{where}.deviceClassName", part.get("deviceClassName"))
        mode, count = part.get("allocationMode"), part.get("count", 0)
        if mode not in ("All", "ExactCount"):
            yield Flaw(
                f"{where}.allocationMode",
                f'Unsupported value: "{mode}": supported values: "All", "ExactCount"',
                "FieldValueNotSupported",
            )
        elif (mode == "All" and count) or (mode == "ExactCount" and count <= 0):
            yield Flaw(f"{where}.count", f"Invalid value: {count}: must be zero for All and positive for ExactCount")


def _opaque(config: Json, path: str) -> Iterator[Flaw]:
    opaque = config.get("opaque")
    if opaque is None:
        yield Flaw(f"{path}.opaque", "Required value", "FieldValueRequired")
        return
    yield from driver(f"{path}.opaque.driver", opaque.get("driver"))
    parameters = opaque.get("parameters")
    if not isinstance(parameters, dict):
        yield Flaw(f"{path}.opaque.parameters", "Required value: must be a valid JSON object", "FieldValueRequired")
    elif (size := len(json.dumps(parameters, separators=(",", ":")))) > _MAX_PARAMETERS:
        yield Flaw(
            f"{path}.opaque.parameters",
            f"Too long: {size}: may not be more than {_MAX_PARAMETERS} bytes",
            "FieldValueTooLong",
        )


def _claim_status(status: Json, before: Json, *, deleting: bool) -> Iterator[Flaw]:
    allocation, had = status.get("allocation"), before.get("allocation")
    if allocation and had:
        yield from immutable("status.allocation", allocation, had)
    results = ((allocation or {}).get("devices") or {}).get("results")
    yield from too_many("status.allocation.devices.results", results, _MAX_RESULTS)
    consumers = status.get("reservedFor") or []
    yield from too_many("status.reservedFor", consumers, _MAX_CONSUMERS)
    yield from named_once("status.reservedFor", consumers, "uid")
    if consumers and not allocation:
        words = "Forbidden: may not be specified when `allocated` is not set"
        yield Flaw("status.reservedFor", words, "FieldValueForbidden")
    known = {consumer.get("uid") for consumer in before.get("reservedFor") or []}
    if deleting and any(consumer.get("uid") not in known for consumer in consumers):
        words = "Forbidden: new entries may not be added while `deletionTimestamp` is set"
        yield Flaw("status.reservedFor", words, "FieldValueForbidden")
    given = set(map(_device_key, results or ()))
    for index, device in enumerate(status.get("devices") or ()):
        if _device_key(device) not in given:
            words = f"Invalid value: {json.dumps(_device_key(device))}: must be an allocated device in the claim"
            yield Flaw(f"status.devices[{index}]", words)


def _device_key(said: Json) -> tuple[Any, ...]:
    return said.get("driver"), said.get("pool"), said.get("device"), said.get("shareID")


def claim_template(new: Json, old: Json | None) -> Iterator[Flaw]:
    """A ResourceClaimTemplate."""
    if old is not None:
        yield from immutable("spec", new.get("spec"), old.get("spec"))
    else:
        yield from _claim_spec((new.get("spec") or {}).get("spec") or {}, "spec.spec")


def device_class(new: Json, _: Json | None) -> Iterator[Flaw]:
    """A DeviceClass."""
    spec = new.get("spec") or {}
    yield from too_many("spec.selectors", spec.get("selectors"), _MAX_REQUESTS)
    yield from too_many("spec.config", spec.get("config"), _MAX_REQUESTS)
    for index, config in enumerate(spec.get("config") or []):
        yield from _opaque(config, f"spec.config[{index}]")


def resource_slice(new: Json, old: Json | None) -> Iterator[Flaw]:
    """A ResourceSlice."""
    spec = new.get("spec") or {}
    if old is not None:
        before = old.get("spec") or {}
        yield from immutable("spec.driver", spec.get("driver"), before.get("driver"))
        yield from immutable("spec.nodeName", spec.get("nodeName"), before.get("nodeName"))
        yield from immutable(
            "spec.pool.name", (spec.get("pool") or {}).get("name"), (before.get("pool") or {}).get("name")
        )
        if spec == before:
            return
    yield from driver("spec.driver", spec.get("driver"))
    yield from _pool(spec.get("pool") or {})
    if sum(bool(spec.get(name)) for name in _PLACEMENTS) != 1:
        words = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
        yield Flaw("spec", f'Invalid value: "{{}}": {words}')
    if spec.get("devices") and spec.get("sharedCounters"):
        yield Flaw("spec", "Invalid value: only one of `devices` and `sharedCounters` may be set")
    devices = spec.get("devices") or []
    special = any(device.get("taints") or device.get("consumesCounters") for device in devices)
    yield from too_many("spec.devices", devices, _MAX_TAINTED_DEVICES if special else _MAX_DEVICES)
    yield from labels("spec.devices", devices)
    yield from named_once("spec.devices", devices)
    for index, device in enumerate(devices):
        yield from _device(device, f"spec.devices[{index}]")


def _pool(pool: Json) -> Iterator[Flaw]:
    name = pool.get("name", "")
    yield from required("spec.pool.name", name)
    if name and (len(name) > 253 or not all(is_subdomain(part) for part in name.split("/"))):
        yield Flaw("spec.pool.name", f'Invalid value: "{name}": must consist of DNS subdomains joined by "/"')
    if pool.get("resourceSliceCount", 0) <= 0:
        yield Flaw(
            "spec.pool.resourceSliceCount",
            f"Invalid value: {pool.get('resourceSliceCount', 0)}: must be greater than zero",
        )
    if pool.get("generation", 0) < 0:
        yield Flaw(
            "spec.pool.generation", f"Invalid value: {pool['generation']}: must be greater than or equal to zero"
        )


def _device(device: Json, path: str) -> Iterator[Flaw]:
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    if len(attributes) + len(capacity) > _MAX_ATTRIBUTES:
        yield Flaw(path, f"Invalid value: more than {_MAX_ATTRIBUTES} attributes and capacities")
    for name in (*attributes, *capacity):
        domain, slash, identifier = name.rpartition("/")
        good = identifier.isidentifier() and identifier.isascii() and len(identifier) <= _MAX_IDENTIFIER
        if not good or (slash and not is_subdomain(domain)):
            words = f'Invalid value: "{name}": not a C identifier of at most {_MAX_IDENTIFIER} characters'
            yield Flaw(f"{path}.attributes", words)
    for name, value in attributes.items():
        where = f"{path}.attributes[{name}]"
        if len(value) != 1:
            yield Flaw(where, "Invalid value: exactly one value must be specified")
        text = value.get("string", value.get("version"))
        if isinstance(text, str) and len(text) > _MAX_TEXT:
            yield Flaw(where, f"Too long: may not be more than {_MAX_TEXT} bytes", "FieldValueTooLong")
