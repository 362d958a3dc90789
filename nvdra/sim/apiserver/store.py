"""The object store: everything the API means, on plain JSON objects, synchronous. No HTTP in it.

Objects that come out of it are shared and never changed again; bodies that go in belong to it from then on.
"""

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from attrs import define, field

from nvdra.sim.apiserver import apply, conversion, lifecycle, meta, patching, rules, strategies, versions
from nvdra.sim.apiserver.collection import Change, Collection, Entry, Json
from nvdra.sim.apiserver.collector import Collector
from nvdra.sim.apiserver.counters import Counters
from nvdra.sim.apiserver.custom import Definitions
from nvdra.sim.apiserver.readers import Readers
from nvdra.sim.apiserver.requests import Deletion, Page, Paging, Writing
from nvdra.sim.apiserver.resources import Catalog, Ref
from nvdra.sim.apiserver.selectors import EVERYTHING, Selector
from nvdra.sim.apiserver.status import (
    STALE,
    Flaw,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    no_such_resource,
    not_found,
)
from nvdra.sim.apiserver.watching import Hub, Told, Watcher

_NEW_NAME_TRIES = 8
_PLAINLY = Writing()
_SIMPLY = Deletion()
_ALL = Paging()
Entries = list[Entry]


@define(eq=False)
class ObjectStore:
    """All objects of a cluster. Raises StatusError for what the API refuses."""

    clock: Callable[[], float] = time.time
    random: Random = field(factory=Random)
    resource_api: Sequence[str] = ("v1", "v1beta2", "v1beta1")
    history: int = 4096
    version: int = field(init=False, default=0)
    hub: Hub = field(init=False, factory=Hub)
    counters: Counters = field(init=False, factory=Counters)
    catalog: Catalog = field(init=False)
    definitions: Definitions = field(init=False)
    collector: Collector = field(init=False)
    by_uid: dict[str, Entry] = field(init=False, factory=dict)
    _readers: Readers = field(init=False, factory=Readers)
    _collections: dict[tuple[str, str], Collection] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        """An empty cluster with its four namespaces."""
        self.catalog = Catalog(self.resource_api)
        self.definitions = Definitions(self.catalog)
        self.collector = Collector(self)
        for name in ("default", "kube-node-lease", "kube-public", "kube-system"):
            self.create(self.ref("", "v1", "namespaces"), {"metadata": {"name": name}})

    # What there is.

    def ref(self, group: str, version: str, plural: str, namespace: str = "", name: str = "") -> Ref:
        """Find what a path is about; 404 when it is not offered."""
        resource = self.catalog.find(group, plural, version)
        if resource is None:
            raise no_such_resource()
        spoken = "" if version == resource.versions[0] else version
        if group == "events.k8s.io":
            resource, spoken = self.ref("", "v1", "events").resource, conversion.EVENTS_V1
        return Ref(resource, namespace if resource.namespaced else "", name, version=spoken)

    def collection(self, ref: Ref) -> Collection:
        """The objects of its resource."""
        found = self._collections.get(ref.resource.key)
        if found is None:
            found = self._collections[ref.resource.key] = Collection(ref.resource, self.history)
        return found

    def get(self, ref: Ref) -> Entry:
        """One object; 404 when there is none."""
        entry = self.collection(ref).entries.get(ref.key)
        if entry is None:
            raise not_found(ref.resource, ref.name)
        return entry

    def list(self, ref: Ref, selector: Selector = EVERYTHING, paging: Paging = _ALL) -> Page:
        """A page of a collection."""
        version, start = self._as_of(paging)
        reader = (ref.resource.key, ref.namespace, selector, version)
        found = self._readers.take((*reader, start))
        if found is None or version < self.collection(ref).forgotten:
            found = [entry for entry in self._snapshot(ref, selector, version) if not start or entry.key > start]
        if not paging.limit or len(found) <= paging.limit:
            return Page(found, version)
        end = found[paging.limit - 1].key
        self._readers.leave((*reader, end), found[paging.limit :])
        return Page(found[: paging.limit], version, versions.token(version, end), len(found) - paging.limit)

    def _snapshot(self, ref: Ref, selector: Selector, version: int) -> Entries:
        collection = self.collection(ref)
        if version == self.version:
            return collection.select(ref.namespace, selector)
        return collection.select_at(version, ref.namespace, selector)

    def _as_of(self, paging: Paging) -> tuple[int, tuple[str, str] | None]:
        if paging.token:
            return versions.read_token(paging.token)
        asked = versions.version_number(paging.version)
        if asked > self.version:
            raise versions.too_large(asked, self.version)
        return (asked if paging.match == "Exact" else self.version), None

    def watch(
        self, ref: Ref, selector: Selector = EVERYTHING, version: str = "", *, initial: bool | None = None
    ) -> Watcher:
        """Begin a watch; `unwatch` ends it. `initial`: begin with what there is (None: when no version is given)."""
        asked = versions.version_number(version)
        if asked > self.version:
            raise versions.too_large(asked, self.version)
        watcher = Watcher(ref.resource.key, ref.namespace, selector)
        collection = self.collection(ref)
        if initial if initial is not None else asked == 0:
            watcher.backlog.extend(Told("ADDED", entry) for entry in collection.select(ref.namespace, selector))
        elif asked:
            for change in collection.since(asked):
                watcher.offer(change)
        self.hub.join(watcher)
        return watcher

    def unwatch(self, watcher: Watcher) -> None:
        """End a watch."""
        watcher.close()
        self.hub.leave(watcher)

    def forget(self) -> None:
        """Compaction: whoever was not told yet has to list anew."""
        for collection in self._collections.values():
            collection.forget()

    # Writing.

    def create(self, ref: Ref, body: Json, how: Writing = _PLAINLY) -> Entry:
        """Make an object. AlreadyExists when its name is taken."""
        obj = self._incoming(ref, body)
        self._room(ref, obj)
        generated = not obj["metadata"].get("name")
        for _ in range(_NEW_NAME_TRIES):
            if generated:
                obj["metadata"].pop("name", None)
            name = meta.named(obj, self.random)
            if not generated or (ref.namespace, name) not in self.collection(ref).entries:
                break
        obj = rules.created(ref.resource, obj, self.definitions, how)
        if (ref.namespace, name) in self.collection(ref).entries:
            raise already_exists(ref.resource, name)
        obj["metadata"] = meta.born(obj["metadata"], self.clock(), self.random, generation=ref.resource.generation)
        strategies.named(ref.resource, obj)
        return self._commit("ADDED", self._entry(ref, obj), None, dry_run=how.dry_run)

    def _incoming(self, ref: Ref, body: Json) -> Json:
        rules.check_kind(ref, body)
        obj = conversion.stored(body, ref.resource.api_version()) if ref.version else dict(body)
        meta.place(ref, obj)
        return obj

    def _room(self, ref: Ref, obj: Json) -> None:
        """The namespace exists and takes new objects."""
        if not ref.resource.namespaced:
            return
        spaces = self.ref("", "v1", "namespaces", name=ref.namespace)
        space = self.get(spaces)
        if "deletionTimestamp" in space.meta:
            name = obj["metadata"].get("name") or obj["metadata"].get("generateName", "")
            why = f"unable to create new content in namespace {ref.namespace} because it is being terminated"
            raise forbidden(ref.resource, name, why)

    def update(self, ref: Ref, body: Json, how: Writing = _PLAINLY) -> Entry:
        """Replace an object, or its status."""
        rules.check_kind(ref, body)
        old = self.get(ref)
        new = self._incoming(ref, body)
        if (new["metadata"].get("name") or ref.name) != ref.name:
            raise _misnamed(new, ref)
        new["metadata"]["name"] = ref.name
        if not new["metadata"].get("resourceVersion") and not self._unconditional(ref):
            flaw = Flaw("metadata.resourceVersion", "Invalid value: 0x0: must be specified for an update")
            raise invalid(ref.resource, ref.name, [flaw])
        return self._replace(ref, old, new, how)

    def _unconditional(self, ref: Ref) -> bool:
        return ref.resource.unconditional and ref.resource.definition is None

    def patch(self, ref: Ref, kind: str, patch: Any, how: Writing = _PLAINLY) -> Entry:
        """Change an object by a `merge`, `json`, `strategic` or `apply` patch."""
        if kind == "apply":
            return apply.applied(self, ref, patch, how)
        old = self.get(ref)
        new = patching.patched(old.spoken(ref.version), kind, patch, ref)
        return self.replace_patched(ref, old, new, how)

    def replace_patched(self, ref: Ref, old: Entry, new: Json, how: Writing) -> Entry:
        """Write the outcome of a patch."""
        obj = self._incoming(ref, new)
        if obj["metadata"].get("name") != ref.name:
            raise _misnamed(obj, ref)
        return self._replace(ref, old, obj, how)

    def _replace(self, ref: Ref, old: Entry, new: Json, how: Writing) -> Entry:
        said = new["metadata"]
        if said.get("uid") and said["uid"] != old.meta["uid"]:
            why = f"Precondition failed: UID in precondition: {said['uid']}, UID in object meta: {old.meta['uid']}"
            raise conflict(ref.resource, ref.name, why)
        if said.get("resourceVersion") and said["resourceVersion"] != old.meta["resourceVersion"]:
            raise conflict(ref.resource, ref.name, STALE)
        obj = rules.updated(ref, new, old.object, self.definitions, how)
        obj = apply.recorded(ref, obj, old.object, how, self.clock())
        if obj == old.object:
            return old
        entry = self._entry(ref, obj)
        if lifecycle.finished(obj["metadata"]):
            return self._commit("DELETED", entry, old, dry_run=how.dry_run)
        return self._commit("MODIFIED", entry, old, dry_run=how.dry_run)

    def delete(self, ref: Ref, how: Deletion = _SIMPLY) -> Entry:
        """Delete an object, or mark it when finalizers or its grace period keep it a while."""
        old = self.get(ref)
        for word, said, is_ in (
            ("UID", how.uid, old.meta["uid"]),
            ("ResourceVersion", how.version, old.meta["resourceVersion"]),
        ):
            if said and said != is_:
                why = f"Precondition failed: {word} in precondition: {said}, {word} in object meta: {is_}"
                raise conflict(ref.resource, ref.name, why)
        marked = lifecycle.marked(ref.resource, old.object, how, self.clock())
        if lifecycle.finished(marked["metadata"]) and not lifecycle.held(marked):
            return self._commit("DELETED", self._entry(ref, marked), old, dry_run=how.dry_run)
        if marked == old.object:
            return old
        return self._commit("MODIFIED", self._entry(ref, marked), old, dry_run=how.dry_run)

    def delete_collection(self, ref: Ref, selector: Selector, how: Deletion = _SIMPLY) -> Sequence[Entry]:
        """Delete everything that is selected."""
        found = self.collection(ref).select(ref.namespace, selector)
        for entry in found:
            if entry.key in self.collection(ref).entries:
                self.delete(Ref(ref.resource, *entry.key), how)
        return found

    def bind(self, ref: Ref, binding: Json) -> Entry:
        """POST pods/NAME/binding: give a pod its node, once."""
        old = self.get(ref)
        node = (binding.get("target") or {}).get("name", "")
        if old.object.get("spec", {}).get("nodeName"):
            raise conflict(
                ref.resource, ref.name, f'pod {ref.name} is already assigned to node "{old.object["spec"]["nodeName"]}"'
            )
        return self.patch(Ref(ref.resource, ref.namespace, ref.name), "merge", {"spec": {"nodeName": node}})

    def finalize(self, space: Entry, spec: Json) -> None:
        """A namespace is empty: let it go, as POST /finalize does."""
        ref = Ref(space.resource, *space.key)
        marked = {**space.object, "spec": spec}
        if lifecycle.finished(marked["metadata"]):
            self._commit("DELETED", self._entry(ref, marked), space, dry_run=False)

    def _entry(self, ref: Ref, obj: Json) -> Entry:
        return Entry(ref.resource, obj, 0, conversion.spoken)

    def _commit(self, type_: Any, entry: Entry, old: Entry | None, *, dry_run: bool) -> Entry:
        if dry_run:
            if old is not None:
                entry.meta["resourceVersion"] = old.meta["resourceVersion"]
            return entry
        self.version += 1
        entry.version = self.version
        entry.object["metadata"] = {**entry.meta, "resourceVersion": str(self.version)}
        change = Change(type_, entry, old)
        self.collection(Ref(entry.resource)).put(change)
        if type_ == "DELETED":
            self.by_uid.pop(entry.meta["uid"], None)
        else:
            self.by_uid[entry.meta["uid"]] = entry
        self.definitions.note(change)
        self.hub.publish(change)
        self.collector.note(change)
        return entry


def _misnamed(obj: Json, ref: Ref) -> StatusError:
    said = obj["metadata"].get("name")
    return bad_request(f"the name of the object ({said}) does not match the name on the URL ({ref.name})")
