"""Server-side apply."""

from typing import TYPE_CHECKING, Any

from nvdra.sim.apiserver import patches
from nvdra.sim.apiserver.collection import Entry
from nvdra.sim.apiserver.requests import Writing
from nvdra.sim.apiserver.resources import Ref

if TYPE_CHECKING:
    from nvdra.sim.apiserver.store import ObjectStore

Json = dict[str, Any]


def applied(store: "ObjectStore", ref: Ref, patch: Json, how: Writing) -> Entry:
    old = store.collection(ref).entries.get(ref.key)
    if old is None:
        patch.setdefault("metadata", {})["name"] = ref.name
        return store.create(ref, patch, how)
    return store.replace_patched(ref, old, patches.merged(old.spoken(ref.version), patch), how)


def recorded(ref: Ref, new: Json, old: Json, how: Writing, now: float) -> Json:
    return new
