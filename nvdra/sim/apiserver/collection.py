"""One resource's objects with their indexes, and the last changes to them. No rules: what is put is kept."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

import msgspec
from attrs import define, field

from nvdra.sim.apiserver.resources import Resource
from nvdra.sim.apiserver.selectors import INDEXED, Selector, field_of
from nvdra.sim.apiserver.status import expired

T = TypeVar("T")
Json = dict[str, Any]
Key = tuple[str, str]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
Convert = Callable[[Json, str], Json]


@define(eq=False)
class Entry:
    """One version of one object. The object is never changed again; encodings of it are made once and shared."""

    resource: Resource
    object: Json
    version: int
    convert: Convert
    _wire: dict[str, bytes] = field(init=False, factory=dict)
    _typed: dict[Any, Any] = field(init=False, factory=dict)

    @property
    def meta(self) -> Json:
        """Its metadata."""
        meta: Json = self.object["metadata"]
        return meta

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.meta.get("namespace", ""), self.meta["name"]

    def spoken(self, version: str = "") -> Json:
        """The object in another API version of its resource."""
        same = not version or version == self.resource.versions[0]
        return self.object if same else self.convert(self.object, version)

    def wire(self, version: str = "") -> bytes:
        """Its JSON, encoded once for everybody."""
        encoded = self._wire.get(version)
        if encoded is None:
            encoded = self._wire[version] = msgspec.json.encode(self.spoken(version))
        return encoded

    def typed(self, type_: type[T], version: str = "") -> T:
        """It as a frozen class, decoded once for everybody."""
        found = self._typed.get((type_, version))
        if found is None:
            found = self._typed[type_, version] = msgspec.convert(self.spoken(version), type_)
        typed: T = found
        return typed

    def at(self, version: int) -> "Entry":
        """The same content under another resourceVersion."""
        body = {**self.object, "metadata": {**self.meta, "resourceVersion": str(version)}}
        return Entry(self.resource, body, version, self.convert)


@define(eq=False)
class Change:
    """One event: the entry after it (of a deletion: the last state) and before it."""

    type: ChangeType
    entry: Entry
    old: Entry | None


@define(eq=False)
class Collection:
    """The objects of one resource."""

    resource: Resource
    limit: int = 4096
    entries: dict[Key, Entry] = field(init=False, factory=dict)
    spaces: dict[str, dict[Key, None]] = field(init=False, factory=dict)
    history: deque[Change] = field(init=False, factory=deque)
    forgotten: int = field(init=False, default=0)
    _index: dict[tuple[str, str], dict[Key, None]] = field(init=False, factory=dict)

    def put(self, change: Change) -> None:
        """Make a change and remember it."""
        key = change.entry.key
        if change.old is not None:
            self._unindex(key, change.old)
        if change.type == "DELETED":
            del self.entries[key]
            self.spaces[key[0]].pop(key, None)
        else:
            self.entries[key] = change.entry
            self.spaces.setdefault(key[0], {})[key] = None
            for term in _terms(change.entry):
                self._index.setdefault(term, {})[key] = None
        self.history.append(change)
        if len(self.history) > self.limit:
            self.forgotten = self.history.popleft().entry.version

    def forget(self) -> None:
        """Keep no history."""
        if self.history:
            self.forgotten = self.history[-1].entry.version
            self.history.clear()

    def _unindex(self, key: Key, old: Entry) -> None:
        for term in _terms(old):
            keys = self._index.get(term)
            if keys is not None:
                keys.pop(key, None)
                if not keys:
                    del self._index[term]

    def select(self, namespace: str, selector: Selector) -> list[Entry]:
        """The selected entries in order of their keys."""
        candidates = self._candidates(namespace, selector)
        return _chosen(self.entries, candidates, namespace, selector)

    def _candidates(self, namespace: str, selector: Selector) -> Iterable[Key]:
        if selector.name is not None and (namespace or not self.resource.namespaced):
            return [(namespace, selector.name)]
        options: list[Mapping[Key, object]] = [self._index.get(term, {}) for term in selector.exact]
        options.append(self.spaces.get(namespace, {}) if namespace else self.entries)
        return min(options, key=len)

    def select_at(self, version: int, namespace: str, selector: Selector) -> list[Entry]:
        """What `select` would have said at an earlier version. 410 when that is forgotten."""
        entries = dict(self.entries)
        for change in reversed(self.since(version)):
            if change.old is None:
                entries.pop(change.entry.key, None)
            else:
                entries[change.entry.key] = change.old
        return _chosen(entries, entries, namespace, selector)

    def since(self, version: int) -> list[Change]:
        """The changes after a version. 410 when some of them are forgotten."""
        if version < self.forgotten:
            raise expired(version, self.forgotten)
        changes: list[Change] = []
        for change in reversed(self.history):
            if change.entry.version <= version:
                break
            changes.append(change)
        return changes[::-1]


def _chosen(entries: Mapping[Key, Entry], keys: Iterable[Key], namespace: str, selector: Selector) -> list[Entry]:
    found = [
        entry
        for key in sorted(keys)
        if (not namespace or key[0] == namespace) and (entry := entries.get(key)) is not None
    ]
    return found if selector.everything else [entry for entry in found if selector.matches(entry.object)]


def _terms(entry: Entry) -> list[tuple[str, str]]:
    terms = [("label:" + name, value) for name, value in (entry.meta.get("labels") or {}).items()]
    return terms + [(path, value) for path in INDEXED if (value := field_of(entry.object, path))]
