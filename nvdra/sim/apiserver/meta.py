"""metadata as the server keeps it: names, uids, time stamps, and what of it a client may change."""

import re
import uuid
from datetime import UTC, datetime
from random import Random
from typing import Any

from nvdra.sim.apiserver.resources import Ref, Resource
from nvdra.sim.apiserver.status import Flaw, bad_request, invalid

Json = dict[str, Any]

SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
SUFFIX_LENGTH = 5
_MAX_GENERATED = 63
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion")

SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)


_PAIR_WORDS = "must consist of at most 63 alphanumeric characters, '-', '_' or '.', the outer ones alphanumeric"


def stamp(now: float) -> str:
    """A time stamp as metadata carries it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_label(text: str) -> bool:
    """A DNS-1123 label."""
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """A DNS-1123 subdomain."""
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def place(ref: Ref, obj: Json) -> None:
    """Give the object the namespace of the request; refuse another one."""
    meta = obj.get("metadata")
    if not isinstance(meta, dict):
        meta = {}
    obj["metadata"] = meta = dict(meta)
    if not ref.resource.namespaced:
        meta.pop("namespace", None)
        return
    said = meta.setdefault("namespace", ref.namespace)
    if said != ref.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def named(obj: Json, random: Random) -> str:
    """Its name; made from generateName when it has none."""
    meta = obj["metadata"]
    if not meta.get("name") and (prefix := meta.get("generateName")):
        letters = "".join(random.choice(SUFFIX_ALPHABET) for _ in range(SUFFIX_LENGTH))
        meta["name"] = f"{prefix[: _MAX_GENERATED - SUFFIX_LENGTH]}{letters}"
    return str(meta.get("name") or "")


def flaws(resource: Resource, meta: Json) -> list[Flaw]:
    """What is wrong with names, labels, finalizers and owners."""
    found = _name_flaws(resource, str(meta.get("name") or ""))
    for field in ("labels", "annotations"):
        for key, value in (meta.get(field) or {}).items():
            found += _pair_flaws(field, key, value)
    for index, owner in enumerate(meta.get("ownerReferences") or []):
        found += [
            Flaw(f"metadata.ownerReferences[{index}].{part}", "Required value: must not be empty", "FieldValueRequired")
            for part in ("apiVersion", "kind", "name", "uid")
            if not owner.get(part)
        ]
    return found


def _name_flaws(resource: Resource, name: str) -> list[Flaw]:
    if not name:
        return [Flaw("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")]
    good, words = True, ""
    if resource.names == "label":
        good, words = is_label(name), LABEL_WORDS
    elif resource.names == "path":
        good, words = "/" not in name and "%" not in name and name not in (".", ".."), "may not contain '/' or '%'"
    else:
        good, words = is_subdomain(name), SUBDOMAIN_WORDS
    return [] if good else [Flaw("metadata.name", f'Invalid value: "{name}": {words}')]


def _pair_flaws(field: str, key: str, value: object) -> list[Flaw]:
    where = f"metadata.{field}"
    prefix, slash, name = key.rpartition("/")
    if (slash and not is_subdomain(prefix.lower())) or len(name) > 63 or not _QUALIFIED.fullmatch(name):
        return [Flaw(where, f'Invalid value: "{key}": name part {_PAIR_WORDS}')]
    if not isinstance(value, str):
        return [Flaw(where, f"Invalid value: {value!r}: must be a string")]
    if field == "labels" and value and (len(value) > 63 or not _QUALIFIED.fullmatch(value)):
        return [Flaw(where, f'Invalid value: "{value}": a valid label must be an empty string or {_PAIR_WORDS}')]
    return []


def born(meta: Json, now: float, random: Random, *, generation: bool) -> Json:
    """The metadata of a new object."""
    kept = {key: value for key, value in meta.items() if key not in _KEPT and key != "selfLink" and value is not None}
    new = {**kept, "uid": str(uuid.UUID(int=random.getrandbits(128), version=4)), "creationTimestamp": stamp(now)}
    if generation:
        new["generation"] = 1
    return new


def carried(new: Json, old: Json) -> Json:
    """The metadata of a changed object: what belongs to the server is as it was."""
    meta = {key: value for key, value in new.items() if key not in _KEPT and key != "selfLink"}
    meta.update({key: old[key] for key in _KEPT if key in old})
    if "generateName" in old:
        meta.setdefault("generateName", old["generateName"])
    for empty in ("labels", "annotations", "finalizers", "ownerReferences"):
        if empty in meta and not meta[empty]:
            del meta[empty]
    return meta


def check_finalizers(resource: Resource, new: Json, old: Json) -> None:
    """An object that is being deleted takes no new finalizers."""
    if "deletionTimestamp" not in old:
        return
    added = [name for name in new.get("finalizers", []) if name not in old.get("finalizers", [])]
    if added:
        text = f"Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {added}"
        raise invalid(resource, old["name"], [Flaw("metadata.finalizers", text, "FieldValueForbidden")])
