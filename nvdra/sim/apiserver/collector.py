"""The garbage collector: dependants follow their owners, content follows its namespace or its CRD."""

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from attrs import define, field

from nvdra.sim.apiserver.collection import Change, Entry
from nvdra.sim.apiserver.lifecycle import CRD_CLEANUP, FOREGROUND, ORPHAN
from nvdra.sim.apiserver.requests import Deletion
from nvdra.sim.apiserver.resources import Ref
from nvdra.sim.apiserver.selectors import EVERYTHING
from nvdra.sim.apiserver.status import StatusError

if TYPE_CHECKING:
    from nvdra.sim.apiserver.store import ObjectStore

Json = dict[str, Any]
_log = logging.getLogger(__name__)
_NAMESPACES = ("", "namespaces")
_DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")


@define(eq=False)
class Collector:
    """Notes every change and, when the change is made, settles what follows from it.

    It runs at the end of the operation that caused it: quicker than the real one, never later.
    """

    store: "ObjectStore"
    _dependants: dict[str, set[str]] = field(init=False, factory=dict)
    _pending: deque[Change] = field(init=False, factory=deque)
    _running: bool = field(init=False, default=False)

    def note(self, change: Change) -> None:
        """Look at one change and all that follow from it."""
        self._index(change)
        if not _interesting(change):
            return
        self._pending.append(change)
        if self._running:
            return
        self._running = True
        try:
            while self._pending:
                self._settle_safely(self._pending.popleft())
        finally:
            self._running = False

    def _settle_safely(self, change: Change) -> None:
        try:
            self._settle(change)
        except StatusError as error:  # what follows must not fail the request that it follows from
            _log.warning("garbage collection after %s %s: %s", change.type, change.entry.key, error)

    def _index(self, change: Change) -> None:
        uid = change.entry.meta["uid"]
        before = _owner_uids(change.old)
        after = _owner_uids(None if change.type == "DELETED" else change.entry)
        for owner in before - after:
            self._dependants[owner].discard(uid)
            if not self._dependants[owner]:
                del self._dependants[owner]
        for owner in after - before:
            self._dependants.setdefault(owner, set()).add(uid)

    def _settle(self, change: Change) -> None:
        entry = change.entry
        if change.type == "DELETED":
            for dependant in self._dependants_of(entry):
                self._reconsider(dependant)
            self._owners_waiting(entry)
            self._container_waiting(entry)
            return
        if "deletionTimestamp" in entry.meta:
            self._deleting(entry)
        elif entry.meta.get("ownerReferences"):
            self._reconsider(entry)

    def _dependants_of(self, entry: Entry) -> list[Entry]:
        found = (self.store.by_uid.get(uid) for uid in sorted(self._dependants.get(entry.meta["uid"], ())))
        return [dependant for dependant in found if dependant is not None]

    def _reconsider(self, dependant: Entry) -> None:
        """Delete it when none of its owners is there; drop references to those that are not."""
        owners = dependant.meta.get("ownerReferences") or []
        live = [owner for owner in owners if self._alive(owner, dependant)]
        if len(live) == len(owners) or "deletionTimestamp" in dependant.meta:
            return
        if not live:
            self._try_delete(dependant, Deletion(policy="Background", uid=dependant.meta["uid"]))
        else:
            self._patch_meta(dependant, {"ownerReferences": live})

    def _alive(self, owner: Json, dependant: Entry) -> bool:
        entry = self.store.by_uid.get(owner.get("uid", ""))
        if entry is None or entry.meta["name"] != owner.get("name"):
            return False
        return not entry.resource.namespaced or entry.meta.get("namespace") == dependant.meta.get("namespace")

    def _deleting(self, entry: Entry) -> None:
        finalizers = entry.meta.get("finalizers") or []
        if ORPHAN in finalizers:
            for dependant in self._dependants_of(entry):
                owners = dependant.meta.get("ownerReferences") or []
                kept = [owner for owner in owners if owner.get("uid") != entry.meta["uid"]]
                self._patch_meta(dependant, {"ownerReferences": kept or None})
            self._drop_finalizer(entry, ORPHAN)
        if FOREGROUND in finalizers:
            self._delete_dependants(entry)
        if entry.resource.key == _NAMESPACES:
            self._empty_namespace(entry)
        if entry.resource.key == _DEFINITIONS:
            self._empty_definition(entry)

    def _delete_dependants(self, entry: Entry) -> None:
        blocking = False
        for dependant in self._dependants_of(entry):
            if "deletionTimestamp" not in dependant.meta:
                self._try_delete(dependant, Deletion(policy="Foreground", uid=dependant.meta["uid"]))
            left = self.store.by_uid.get(dependant.meta["uid"])
            blocking = blocking or (left is not None and _blocks(left, entry))
        if not blocking:
            self._drop_finalizer(entry, FOREGROUND)

    def _empty_namespace(self, space: Entry) -> None:
        left = False
        for resource in self.store.catalog:
            if not resource.namespaced or resource.group == "events.k8s.io":
                continue
            ref = Ref(resource, space.meta["name"])
            self.store.delete_collection(ref, EVERYTHING, Deletion())
            left = left or bool(self.store.collection(ref).select(ref.namespace, EVERYTHING))
        if not left and (current := self._current(space)) is not None:
            spec = {key: value for key, value in current.object.get("spec", {}).items() if key != "finalizers"}
            self.store.finalize(current, spec)

    def _empty_definition(self, definition: Entry) -> None:
        spec = definition.object["spec"]
        resource = self.store.catalog.find(spec["group"], spec["names"]["plural"])
        if resource is not None:
            ref = Ref(resource)
            self.store.delete_collection(ref, EVERYTHING, Deletion())
            if self.store.collection(ref).entries:
                return
        self._drop_finalizer(definition, CRD_CLEANUP)

    def _owners_waiting(self, gone: Entry) -> None:
        for uid in _owner_uids(gone):
            owner = self.store.by_uid.get(uid)
            if owner is not None and FOREGROUND in (owner.meta.get("finalizers") or []):
                self._delete_dependants(owner)

    def _container_waiting(self, gone: Entry) -> None:
        """The last object of a namespace, or of a CRD, that is being deleted may have gone."""
        for key in (_NAMESPACES, _DEFINITIONS):
            collection = self.store.collection(Ref(self.store.ref(key[0], "v1", key[1]).resource))
            name = gone.meta.get("namespace", "") if key == _NAMESPACES else ".".join(reversed(gone.resource.key))
            entry = collection.entries.get(("", name))
            if entry is not None and "deletionTimestamp" in entry.meta:
                self._deleting(entry)

    def _current(self, entry: Entry) -> Entry | None:
        return self.store.by_uid.get(entry.meta["uid"])

    def _drop_finalizer(self, entry: Entry, name: str) -> None:
        current = self._current(entry)
        if current is not None:
            kept = [finalizer for finalizer in current.meta.get("finalizers") or [] if finalizer != name]
            self._patch_meta(current, {"finalizers": kept or None})

    def _patch_meta(self, entry: Entry, meta: Json) -> None:
        current = self._current(entry)
        if current is not None:
            self.store.patch(Ref(current.resource, *current.key), "merge", {"metadata": meta})

    def _try_delete(self, entry: Entry, how: Deletion) -> None:
        try:
            self.store.delete(Ref(entry.resource, *entry.key), how)
        except StatusError as error:
            if error.code not in (404, 409):  # gone or replaced meanwhile: nothing to do
                raise


def _interesting(change: Change) -> bool:
    if change.type == "DELETED" or "deletionTimestamp" in change.entry.meta:
        return True
    return _owner_uids(change.entry) != _owner_uids(change.old)


def _owner_uids(entry: Entry | None) -> frozenset[str]:
    if entry is None:
        return frozenset()
    return frozenset(owner.get("uid", "") for owner in entry.meta.get("ownerReferences") or ())


def _blocks(dependant: Entry, owner: Entry) -> bool:
    return any(
        reference.get("uid") == owner.meta["uid"] and reference.get("blockOwnerDeletion")
        for reference in dependant.meta.get("ownerReferences") or ()
    )
