"""Server-side apply: who owns which fields, conflicts, and what goes because its owner no longer sends it.

Limits: owners are written down from the first apply of an object on (before it, one unknown owner
stands for all); which lists are maps follows listtypes.py or the CRD's schema; map items are matched by keys as sent.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nvdra.sim.apiserver import fields, listtypes
from nvdra.sim.apiserver.collection import Entry
from nvdra.sim.apiserver.meta import stamp
from nvdra.sim.apiserver.patches import clone
from nvdra.sim.apiserver.requests import Writing
from nvdra.sim.apiserver.resources import Ref
from nvdra.sim.apiserver.status import StatusError, bad_request, conflict

if TYPE_CHECKING:
    from nvdra.sim.apiserver.store import ObjectStore

Json = dict[str, Any]
_BEFORE = "unknown-before-first-apply"
_CLIENT_SIDE = "kubectl.kubernetes.io/last-applied-configuration"
_APPLY = "Apply"


def applied(store: "ObjectStore", ref: Ref, patch: Any, how: Writing) -> Entry:
    """Create the object, or merge what its manager wants into it."""
    _check(ref, patch)
    keys = fields.keys_of(_schema(ref))
    wanted = fields.of(patch, keys)
    old = store.collection(ref).entries.get(ref.key)
    if old is None:
        return _created(store, ref, patch, (how, wanted))
    base = _base(old, patch, ref)
    has = fields.of(base, keys)
    owners = _owners(base, has)
    _refuse_conflicts(owners, _changed(wanted, has), (ref, how))
    mine = next((owner for owner in owners if _is(owner, how.manager, ref)), None)
    others = [owner for owner in owners if owner is not mine]
    merged = _merge(base, patch, ("", ""), keys)
    wanted_by_others = frozenset().union(*map(_fields, others))
    fields.remove(merged, _fields(mine) - wanted.keys() - wanted_by_others, keys)
    record = _record(ref, how, wanted, store.clock())
    if mine and mine["fieldsV1"] == record["fieldsV1"]:
        record = mine  # the time stays: applying the same again is no write
    rest = [_without(owner, _changed(wanted, has)) for owner in others]
    merged["metadata"]["managedFields"] = [*(owner for owner in rest if owner["fieldsV1"]), record]
    return store.replace_patched(ref, old, merged, how)


def _created(store: "ObjectStore", ref: Ref, patch: Json, of: tuple[Writing, Iterable[fields.Path]]) -> Entry:
    if ref.subresource:
        return store.get(ref)  # says that it is not found
    how, wanted = of
    body = clone(patch)
    body["metadata"] = {**(body.get("metadata") or {}), "name": ref.name}
    if uid := body["metadata"].get("uid"):
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise conflict(ref.resource, ref.name, why)
    body["metadata"]["managedFields"] = [_record(ref, how, wanted, store.clock())]
    return store.create(ref, body, how)


def _base(old: Entry, patch: Json, ref: Ref) -> Json:
    """The object as it is, with the preconditions of the patch."""
    base: Json = clone(old.spoken(ref.version))
    said = patch.get("metadata") or {}
    base["metadata"].update({name: said[name] for name in ("uid", "resourceVersion") if said.get(name)})
    return base


def _fields(owner: Json | None) -> fields.Fields:
    return fields.decoded(owner["fieldsV1"]) if owner else frozenset()


def _check(ref: Ref, patch: Any) -> None:
    if not isinstance(patch, dict) or not patch.get("apiVersion") or not patch.get("kind"):
        raise bad_request("apply needs an object with apiVersion and kind")
    meta = patch.get("metadata") or {}
    if meta.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    if meta.get("name", ref.name) != ref.name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({ref.name})")


def _schema(ref: Ref) -> Json | None:
    if ref.resource.definition is None:
        return None
    versions = ref.resource.definition["spec"]["versions"]
    return next((v["schema"]["openAPIV3Schema"] for v in versions if v.get("storage")), None)


def _owners(base: Json, has: Iterable[fields.Path]) -> list[Json]:
    owners = base["metadata"].get("managedFields")
    if owners:
        return list(owners)
    if _CLIENT_SIDE in (base["metadata"].get("annotations") or {}):
        return []  # kubectl moves from client-side to server-side apply: it owned everything
    everything = fields.encoded(path for path in has if path[0] != "f:status")
    return [
        {
            "manager": _BEFORE,
            "operation": "Update",
            "apiVersion": base["apiVersion"],
            "fieldsType": "FieldsV1",
            "fieldsV1": everything,
        }
    ]


def _is(owner: Json, manager: str, ref: Ref) -> bool:
    return _told(owner) == (manager, _APPLY, ref.subresource)


def _refuse_conflicts(owners: list[Json], changed: frozenset[fields.Path], of: tuple[Ref, Writing]) -> None:
    ref, how = of
    others = [owner for owner in owners if not _is(owner, how.manager, ref)]
    told = [(owner, path) for owner in others for path in sorted(_fields(owner) & changed)]
    if how.force or not told:
        return
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{owner["manager"]}" using {owner["apiVersion"]}',
            "field": fields.told(path),
        }
        for owner, path in told
    ]
    listed = ", ".join(cause["field"] for cause in causes)
    number = f"{len(told)} conflict{'s' * (len(told) > 1)}"
    text = f'Apply failed with {number}: conflict{"s" * (len(told) > 1)} with "{told[0][0]["manager"]}": {listed}'
    raise StatusError(409, "Conflict", text, {"causes": causes})


def _changed(wanted: dict[fields.Path, Any], has: dict[fields.Path, Any]) -> frozenset[fields.Path]:
    """The wanted leaves that are there with another value."""
    return frozenset(path for path, value in wanted.items() if path in has and has[path] != value)


def _merge(base: Any, patch: Any, names: tuple[str, str], keys: fields.ListKeys) -> Any:
    field, parent = names
    if isinstance(patch, dict) and isinstance(base, dict) and field not in listtypes.ATOMIC_MAPS:
        result = dict(base)
        for key, value in patch.items():
            result[key] = _merge(base.get(key), value, (key, field), keys) if key in base else clone(value)
        return result
    if isinstance(patch, list) and isinstance(base, list):
        if field in listtypes.SETS:
            return [*base, *(item for item in patch if item not in base)]
        by = keys(field, parent, patch)
        if by is not None:
            return _merge_items(base, patch, names, (by, keys))
    return clone(patch)


def _merge_items(
    base: list[Any], patch: list[Any], names: tuple[str, str], how: tuple[tuple[str, ...], fields.ListKeys]
) -> list[Any]:
    by, keys = how
    result = list(base)
    places = {fields.item_step(item, by): place for place, item in enumerate(base)}
    for item in patch:
        place = places.get(fields.item_step(item, by))
        if place is None:
            result.append(clone(item))
        else:
            result[place] = _merge(result[place], item, ("", names[0]), keys)
    return result


def _record(ref: Ref, how: Writing, wanted: Iterable[fields.Path], now: float) -> Json:
    version = ref.version if "/" in ref.version else ref.resource.api_version(ref.version)
    record = {
        "manager": how.manager,
        "operation": _APPLY,
        "apiVersion": version,
        "time": stamp(now),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields.encoded(wanted),
    }
    return {**record, "subresource": ref.subresource} if ref.subresource else record


def _without(owner: Json, paths: frozenset[fields.Path]) -> Json:
    left = _fields(owner) - paths
    return {**owner, "fieldsV1": fields.encoded(left)}


def recorded(ref: Ref, new: Json, old: Json, how: Writing, now: float) -> Json:
    """After a write that is no apply: the writer owns what it changed. Only where owners are written down."""
    owners = old["metadata"].get("managedFields")
    if not owners or new["metadata"].get("managedFields") != owners:
        return new
    keys = fields.keys_of(_schema(ref))
    before, after = fields.of(old, keys), fields.of(new, keys)
    touched = frozenset(path for path, value in after.items() if path not in before or before[path] != value)
    gone = frozenset(before.keys() - after.keys())
    if not touched and not gone:
        return new
    rest = [_without(owner, touched | gone) for owner in owners if not _updater(owner, how.manager, ref)]
    mine = next((owner for owner in owners if _updater(owner, how.manager, ref)), None)
    held = (_fields(mine) | touched) - gone
    record = {**_record(ref, how, held, now), "operation": "Update"}
    kept = [owner for owner in rest if owner["fieldsV1"]]
    return {**new, "metadata": {**new["metadata"], "managedFields": [*kept, record] if held else kept}}


def _updater(owner: Json, manager: str, ref: Ref) -> bool:
    return _told(owner) == (manager, "Update", ref.subresource)


def _told(owner: Json) -> tuple[str, str, str]:
    return owner["manager"], owner["operation"], owner.get("subresource", "")
