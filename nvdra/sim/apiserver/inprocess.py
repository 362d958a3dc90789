"""The Cluster port directly on the object store: what the rack's own components use. No HTTP."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import msgspec
from attrs import define

from nvdra import errors
from nvdra.api.kind import Kind
from nvdra.ports import Json, Listing, PatchType, WatchEvent
from nvdra.sim.apiserver import selectors
from nvdra.sim.apiserver.collection import Entry
from nvdra.sim.apiserver.requests import Deletion, Writing
from nvdra.sim.apiserver.resources import Ref
from nvdra.sim.apiserver.status import PatchTestFailedError, StatusError
from nvdra.sim.apiserver.store import ObjectStore
from nvdra.sim.apiserver.watching import Watcher

T = TypeVar("T")
_HTTP_ERRORS = 400


@define(eq=False)
class InProcess:
    """A client of the store. `agent` is the name that its requests are counted under, and its field manager."""

    store: ObjectStore
    agent: str = "sim"

    async def get(self, kind: Kind[T], name: str, namespace: str = "") -> T:
        """Read one object."""
        with self._counted("get", kind):
            return typed(kind, self.store.get(self._ref(kind, name, namespace)))

    async def list(self, kind: Kind[T], namespace: str = "", *, labels: str = "", fields: str = "") -> Listing[T]:
        """Read a collection, all at once."""
        with self._counted("list", kind):
            ref = self._ref(kind, "", namespace)
            page = self.store.list(ref, selectors.parse(ref.resource, labels, fields))
            return Listing(tuple(typed(kind, entry) for entry in page.entries), str(page.version))

    async def watch(
        self, kind: Kind[T], version: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        """Follow a collection; ends when the store closes its watches. No bookmarks: nothing can get lost here."""
        with self._counted("watch", kind):
            ref = self._ref(kind, "", namespace)
            watcher = self.store.watch(ref, selectors.parse(ref.resource, labels, fields), version)
        try:
            while True:
                for event in await _events(watcher, kind):
                    yield event
                if watcher.closed:
                    return
        finally:
            self.store.unwatch(watcher)

    async def create(self, kind: Kind[T], body: Json, namespace: str = "") -> T:
        """Create an object."""
        with self._counted("create", kind):
            ref = self._ref(kind, "", namespace or body.get("metadata", {}).get("namespace", ""))
            return typed(kind, self.store.create(ref, _copied(body), Writing(self.agent)))

    async def patch(
        self,
        kind: Kind[T],
        name: str,
        patch: Json | Sequence[Json],
        namespace: str = "",
        *,
        how: PatchType = "merge",
        subresource: str = "",
    ) -> T:
        """Patch an object, or its subresource."""
        with self._counted("apply" if how == "apply" else "patch", kind, subresource):
            ref = self._ref(kind, name, namespace, subresource)
            body = _copied(patch if isinstance(patch, dict) else list(patch))
            return typed(kind, self.store.patch(ref, how, body, Writing(self.agent, force=True)))

    async def replace(self, kind: Kind[T], name: str, body: Json, namespace: str = "", *, subresource: str = "") -> T:
        """Replace an object, or its subresource."""
        with self._counted("update", kind, subresource):
            ref = self._ref(kind, name, namespace, subresource)
            return typed(kind, self.store.update(ref, _copied(body), Writing(self.agent)))

    async def delete(
        self,
        kind: Kind[T],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        version: str = "",
        grace: int | None = None,
        policy: str = "",
    ) -> None:
        """Delete an object; already gone is success. `grace=0` is how a kubelet removes a pod."""
        with self._counted("delete", kind):
            try:
                self.store.delete(self._ref(kind, name, namespace), Deletion(grace, policy, uid, version))
            except StatusError as error:
                if error.code != 404:
                    raise

    def _ref(self, kind: Kind[Any], name: str, namespace: str, subresource: str = "") -> Ref:
        ref = self.store.ref(kind.group, kind.version, kind.plural, namespace, name)
        return Ref(ref.resource, ref.namespace, name, subresource, ref.version) if subresource else ref

    @contextmanager
    def _counted(self, verb: str, kind: Kind[Any], subresource: str = "") -> Iterator[None]:
        resource = f"{kind.plural}/{subresource}" if subresource else kind.plural
        code = 201 if verb == "create" else 200
        try:
            yield
        except StatusError as error:
            code = error.code
            raise translated(error) from error
        finally:
            self.store.counters.count(self.agent, verb, resource, code)


def _copied(body: Any) -> Any:
    """What goes into the store belongs to it: the caller keeps its own."""
    return msgspec.json.decode(msgspec.json.encode(body))


def typed(kind: Kind[T], entry: Entry) -> T:
    """An entry as the kind's class."""
    version = "" if kind.version == entry.resource.versions[0] and kind.group == entry.resource.group else kind.version
    if kind.group == "events.k8s.io":
        version = kind.api_version
    if kind.type is dict:
        return cast("T", msgspec.json.decode(entry.wire(version)))
    return entry.typed(kind.type, version)


async def _events(watcher: Watcher, kind: Kind[T]) -> Sequence[WatchEvent[T]]:
    await watcher.wait()
    return [WatchEvent(told.type, typed(kind, told.entry)) for told in watcher.take()]


def translated(error: StatusError) -> errors.ApiError:
    """A refusal as the error that the engine knows."""
    if isinstance(error, PatchTestFailedError):
        return errors.Conflict(error.message, code=409, reason="Conflict")
    known: type[errors.ApiError] = errors.ApiError
    match error.code, error.reason:
        case 404, _:
            known = errors.NotFound
        case 409, "AlreadyExists":
            known = errors.AlreadyExists
        case 409, _:
            known = errors.Conflict
        case 410, _:
            known = errors.Gone
    return known(error.message, code=error.code, reason=error.reason, after=error.after)
