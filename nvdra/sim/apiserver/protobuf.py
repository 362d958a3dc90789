"""What `kubectl create namespace|configmap|secret|serviceaccount` and `kubectl drain` send: Kubernetes' protobuf.

The field numbers are the API's own and never change. Other kinds are refused with a word on what to do instead.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from nvdra.sim.apiserver.status import StatusError, bad_request

Json = dict[str, Any]
Field = tuple[str, Literal["text", "bytes", "bool", "number", "message", "texts", "messages", "map", "bytes-map"], str]

_MAGIC = b"k8s\x00"
_MESSAGES: Mapping[str, Mapping[int, Field]] = {
    "Unknown": {1: ("type", "message", "TypeMeta"), 2: ("raw", "bytes", "")},
    "TypeMeta": {1: ("apiVersion", "text", ""), 2: ("kind", "text", "")},
    "ObjectMeta": {
        1: ("name", "text", ""),
        2: ("generateName", "text", ""),
        3: ("namespace", "text", ""),
        5: ("uid", "text", ""),
        6: ("resourceVersion", "text", ""),
        11: ("labels", "map", ""),
        12: ("annotations", "map", ""),
        14: ("finalizers", "texts", ""),
    },
    "Namespace": {1: ("metadata", "message", "ObjectMeta")},
    "ConfigMap": {
        1: ("metadata", "message", "ObjectMeta"),
        2: ("data", "map", ""),
        3: ("binaryData", "bytes-map", ""),
        4: ("immutable", "bool", ""),
    },
    "Secret": {
        1: ("metadata", "message", "ObjectMeta"),
        2: ("data", "bytes-map", ""),
        3: ("type", "text", ""),
        4: ("stringData", "map", ""),
        5: ("immutable", "bool", ""),
    },
    "ServiceAccount": {1: ("metadata", "message", "ObjectMeta"), 3: ("imagePullSecrets", "messages", "LocalReference")},
    "LocalReference": {1: ("name", "text", "")},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "number", ""),
        2: ("preconditions", "message", "Preconditions"),
        4: ("propagationPolicy", "text", ""),
        5: ("dryRun", "texts", ""),
    },
    "Preconditions": {1: ("uid", "text", ""), 2: ("resourceVersion", "text", "")},
}
_KINDS = ("Namespace", "ConfigMap", "Secret", "ServiceAccount", "DeleteOptions")


def decoded(raw: bytes) -> Json:
    """The object as JSON."""
    if not raw.startswith(_MAGIC):
        raise bad_request("the object provided is unrecognized: no Kubernetes protobuf")
    try:
        envelope = _message(raw[len(_MAGIC) :], "Unknown")
        about = envelope.get("type", {})
        if about.get("kind") not in _KINDS:
            told = f"the embedded API server reads no protobuf of {about.get('kind')}; send JSON (create -f)"
            raise StatusError(415, "UnsupportedMediaType", told)
        return {**about, **_message(base64.b64decode(envelope.get("raw", "")), about["kind"])}
    except (IndexError, UnicodeDecodeError) as error:
        raise bad_request("the object provided is unrecognized: broken protobuf") from error


def _message(raw: bytes, name: str) -> Json:
    known = _MESSAGES[name]
    result: Json = {}
    for number, value in _fields(raw):
        if number not in known:
            continue
        field, sort, inner = known[number]
        match sort:
            case "text":
                result[field] = value.decode() or None
            case "bytes":
                result[field] = base64.b64encode(value).decode()
            case "number":
                result[field] = value
            case "bool":
                result[field] = bool(value)
            case "message":
                result[field] = _message(value, inner)
            case "texts":
                result.setdefault(field, []).append(value.decode())
            case "messages":
                result.setdefault(field, []).append(_message(value, inner))
            case "map" | "bytes-map":
                key, item = _pair(value)
                result.setdefault(field, {})[key] = item.decode() if sort == "map" else base64.b64encode(item).decode()
    return {field: value for field, value in result.items() if value is not None}


def _pair(raw: bytes) -> tuple[str, bytes]:
    parts = dict(_fields(raw))
    return parts.get(1, b"").decode(), parts.get(2, b"")


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(raw):
        tag, place = _varint(raw, place)
        match tag & 7:
            case 0:
                value, place = _varint(raw, place)
                yield tag >> 3, value
            case 2:
                size, place = _varint(raw, place)
                if place + size > len(raw):
                    raise IndexError(size)
                yield tag >> 3, raw[place : place + size]
                place += size
            case kind:
                place += {1: 8, 5: 4}.get(kind, len(raw))


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
