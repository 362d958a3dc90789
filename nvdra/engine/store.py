"""Last seen objects, by kind and path, with indices; a change wakes the keys that are concerned. No IO."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Protocol, TypeVar, cast

from attrs import define, field

from nvdra.engine.queue import Key
from nvdra.errors import NotYet

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Sort(Protocol[T_co]):
    """What kind of object: a Kubernetes Kind, or a Local one."""

    @property
    def plural(self) -> str:
        """Its name in the store."""
        ...

    @property
    def type(self) -> type[T_co]:
        """The class of its objects."""
        ...


Concerns = Callable[[Any], Iterable[Key]]
Indexer = Callable[[Any], Iterable[Hashable]]


REMEMBERED = 4096
"""So many objects that went away are remembered, for answers that are slower than the watch."""


@define
class _Shelf:
    objects: dict[str, Any] = field(factory=dict)
    gone: OrderedDict[str, int] = field(factory=OrderedDict)
    indexers: dict[str, Indexer] = field(factory=dict)
    indices: dict[str, dict[Hashable, dict[str, Any]]] = field(factory=dict)
    concerns: list[Concerns] = field(factory=list)
    synced: bool = False


@define(eq=False)
class Store:
    """All that this process knows of the world."""

    wake: Callable[[Key], None]
    impatient: set[Key] = field(factory=set)
    """Keys that could not be looked at yet: woken when a kind has been listed whole."""
    _shelves: dict[str, _Shelf] = field(factory=dict)

    # What adapters say.

    def put(self, sort: Sort[T], thing: T) -> None:
        """It was seen so, by whoever watches. An older version of what is here is ignored."""
        shelf, path = self._shelf(sort), _path(thing)
        old = shelf.objects.get(path)
        if old is not None and (_older(thing, old) or thing == old):
            return
        shelf.objects[path] = thing
        self._reindex(shelf, path, old, thing)
        self._announce(shelf, old, thing)

    def learn(self, sort: Sort[T], thing: T) -> None:
        """It came back from a request of ours. What the watch, which may be faster, knows to be newer or gone stays."""
        shelf, version = self._shelf(sort), _version(thing)
        old = shelf.objects.get(_path(thing))
        if version >= shelf.gone.get(_uid(thing), 0) and (old is None or version >= _version(old)):
            self.put(sort, thing)

    def drop(self, sort: Sort[T], thing: T) -> None:
        """It is gone; unless one of the same name with another uid is here already."""
        shelf, path = self._shelf(sort), _path(thing)
        old = shelf.objects.get(path)
        if hasattr(thing, "metadata"):
            shelf.gone[_uid(thing)] = max(_version(thing), shelf.gone.pop(_uid(thing), -1))
            if len(shelf.gone) > REMEMBERED:
                shelf.gone.popitem(last=False)
        if old is None or _uid(old) != _uid(thing):
            return
        del shelf.objects[path]
        self._reindex(shelf, path, old, None)
        self._announce(shelf, old, None)

    def synced(self, sort: Sort[T]) -> None:
        """The first complete list of this kind is in."""
        shelf = self._shelf(sort)
        shelf.synced = True
        for thing in list(shelf.objects.values()):
            self._announce(shelf, None, thing)
        late, self.impatient = self.impatient, set()
        for key in sorted(late):
            self.wake(key)

    # What domains declare.

    def concern(self, sort: Sort[T], keys: Callable[[T], Iterable[Key]]) -> None:
        """A change of an object of this kind wakes these keys."""
        self._shelf(sort).concerns.append(keys)

    def index(self, sort: Sort[T], name: str, of: Callable[[T], Iterable[Hashable]]) -> None:
        """Keep an index: objects by any of the values that `of` gives. Declared before objects come."""
        shelf = self._shelf(sort)
        if name not in shelf.indexers:
            shelf.indexers[name] = of
            shelf.indices[name] = {}

    # What snapshots read.

    def get(self, sort: Sort[T], path: str) -> T | None:
        """The object at `namespace/name` (or `name`), or None."""
        return cast("T | None", self._shelf(sort).objects.get(path))

    def all(self, sort: Sort[T]) -> tuple[T, ...]:
        """Every object of the kind."""
        return tuple(self._shelf(sort).objects.values())

    def find(self, sort: Sort[T], index: str, value: Hashable) -> tuple[T, ...]:
        """The objects of one index entry."""
        return tuple(self._shelf(sort).indices[index].get(value, {}).values())

    def count(self, sort: Sort[T], index: str, value: Hashable) -> int:
        """How many objects an index entry has."""
        return len(self._shelf(sort).indices[index].get(value, ()))

    def values(self, sort: Sort[T], index: str) -> tuple[Hashable, ...]:
        """The values that an index knows."""
        return tuple(self._shelf(sort).indices[index])

    def require(self, *sorts: Sort[Any]) -> None:
        """Raises NotYet while one of these kinds has not been listed whole."""
        late = [sort.plural for sort in sorts if not self._shelf(sort).synced]
        if late:
            raise NotYet(f"not listed yet: {', '.join(late)}")

    def _shelf(self, sort: Sort[Any]) -> _Shelf:
        shelf = self._shelves.get(sort.plural)
        if shelf is None:
            shelf = self._shelves[sort.plural] = _Shelf()
        return shelf

    def _reindex(self, shelf: _Shelf, path: str, old: Any, new: Any) -> None:
        for name, of in shelf.indexers.items():
            index = shelf.indices[name]
            for value in of(old) if old is not None else ():
                entry = index.get(value, {})
                entry.pop(path, None)
                if not entry:
                    index.pop(value, None)
            for value in of(new) if new is not None else ():
                index.setdefault(value, {})[path] = new

    def _announce(self, shelf: _Shelf, old: Any, new: Any) -> None:
        keys = {
            key for thing in (old, new) if thing is not None for concerns in shelf.concerns for key in concerns(thing)
        }
        for key in sorted(keys):
            self.wake(key)


def _path(thing: Any) -> str:
    return cast("str", thing.metadata.path if hasattr(thing, "metadata") else thing.path)


def _uid(thing: Any) -> str:
    return cast("str", thing.metadata.uid if hasattr(thing, "metadata") else thing.path)


def _version(thing: Any) -> int:
    """Versions are numbers and may be compared (Kubernetes 1.35 says so, and it was always so); 0 for what has none."""
    version = thing.metadata.resourceVersion if hasattr(thing, "metadata") else ""
    return int(version) if version.isdigit() else 0


def _older(new: Any, old: Any) -> bool:
    return _uid(new) == _uid(old) and _version(new) < _version(old)
