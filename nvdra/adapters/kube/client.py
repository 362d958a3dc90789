"""`ports.Cluster` over HTTP: typed reads, watches and conditional writes. No caches and no decisions."""

import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal, TypeVar, cast
from urllib.parse import quote, urlencode

import msgspec
from attrs import define, field

from nvdra import __version__
from nvdra.adapters.http.client import Limits
from nvdra.adapters.kube.answers import Call, failure_in_watch
from nvdra.adapters.kube.config import Access
from nvdra.adapters.kube.decoding import UNREADABLE, decode_line, decode_object, decode_page, lines
from nvdra.adapters.kube.rate import Bucket
from nvdra.adapters.kube.requests import Observe, Requests, unobserved
from nvdra.api.kind import Kind
from nvdra.api.names import RESOURCE_API_VERSIONS
from nvdra.errors import Again, ConfigError, NotFound
from nvdra.ports import Json, Listing, PatchType, WatchEvent

T = TypeVar("T")
FIELD_MANAGER = "nvdra"
PAGE = 500
WATCH_SECONDS = (300, 600)
_CONTENT = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_EVENT_TYPES = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK"})


@define(eq=False)
class KubeClient:
    """The API of one cluster. Close it when done."""

    access: Access
    component: str
    qps: float = 50.0
    burst: int = 100
    observe: Observe = unobserved
    timeout: float = 30.0
    idle: float = 120.0
    clock: Callable[[], float] = time.monotonic
    rng: random.Random = field(factory=random.Random)
    limits: Limits = field(factory=Limits)
    _requests: Requests = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Nothing is sent yet."""
        self._requests = Requests(
            self.access,
            agent=f"nvdra-{self.component}/{__version__}",
            bucket=Bucket(self.qps, self.burst, self.clock),
            observe=self.observe,
            timeout=self.timeout,
            idle=self.idle,
            clock=self.clock,
            rng=self.rng,
            limits=self.limits,
        )

    async def close(self) -> None:
        """Break off what is under way and give the sockets back."""
        await self._requests.close()

    async def get(self, kind: Kind[T], name: str, namespace: str = "") -> T:
        """Read one object live."""
        call = Call("get", "GET", kind.plural, _path(kind, name, namespace))
        return decode_object(kind, await self._requests.send(call), self._what(call))

    async def list(self, kind: Kind[T], namespace: str = "", *, labels: str = "", fields: str = "") -> Listing[T]:
        """Read a collection live, page by page. Gone when it took so long that the first page has expired."""
        items: list[T] = []
        more = ""
        while True:
            query = _query(limit=str(PAGE), labelSelector=labels, fieldSelector=fields, **{"continue": more})
            call = Call("list", "GET", kind.plural, kind.path(namespace=namespace) + query)
            page = decode_page(kind, await self._requests.send(call), self._what(call))
            items += page.items or []
            more = page.metadata.more
            if not more:
                return Listing(tuple(items), page.metadata.version)

    async def watch(
        self, kind: Kind[T], version: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncGenerator[WatchEvent[T], None]:
        """Follow a collection. The first event is a BOOKMARK of ours at `version`: the watch was accepted."""
        query = _query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=version,
            timeoutSeconds=str(self.rng.randint(*WATCH_SECONDS)),
            labelSelector=labels,
            fieldSelector=fields,
        )
        call = Call("watch", "GET", kind.plural, kind.path(namespace=namespace) + query)
        what = self._what(call)
        async with self._requests.stream(call) as stream, aclosing(stream.chunks()) as chunks:
            opened = msgspec.json.encode({"metadata": {"resourceVersion": version}})
            yield WatchEvent("BOOKMARK", decode_object(kind, opened, what))
            async with aclosing(lines(chunks, what)) as whole_lines:
                async for line in whole_lines:
                    yield self._event(kind, line, call)

    async def create(self, kind: Kind[T], body: Json, namespace: str = "") -> T:
        """Create an object; AlreadyExists when the name is taken."""
        target = _collection(kind, namespace or _namespace(body)) + _query(fieldManager=FIELD_MANAGER)
        return await self._write(kind, Call("create", "POST", kind.plural, target, _bytes(_headed(kind, body))))

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
        """Patch an object. A failed `test` of a JSON patch raises Conflict. `apply` is forced server-side apply."""
        if (how == "json") != isinstance(patch, Sequence):
            raise TypeError(f"{kind.plural}/{name}: a {how} patch must be {'a list' if how == 'json' else 'an object'}")
        query = _query(fieldManager=FIELD_MANAGER, force="true" if how == "apply" else "")
        resource = "/".join(part for part in (kind.plural, subresource) if part)
        tests = isinstance(patch, Sequence) and any(step.get("op") == "test" for step in patch)
        body = _bytes(_headed(kind, cast("Json", patch)) if how == "apply" else patch)
        target = _path(kind, name, namespace, subresource) + query
        return await self._write(kind, Call("patch", "PATCH", resource, target, body, _CONTENT[how], tests))

    async def replace(self, kind: Kind[T], name: str, body: Json, namespace: str = "") -> T:
        """Replace an object; with metadata.resourceVersion in the body, only if it is still that one."""
        target = _path(kind, name, namespace or _namespace(body)) + _query(fieldManager=FIELD_MANAGER)
        return await self._write(kind, Call("update", "PUT", kind.plural, target, _bytes(_headed(kind, body))))

    async def delete(self, kind: Kind[T], name: str, namespace: str = "", *, uid: str = "", version: str = "") -> None:
        """Delete an object, only if it still has that uid and resourceVersion. Already gone is success."""
        wanted = {key: value for key, value in (("uid", uid), ("resourceVersion", version)) if value}
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"} | ({"preconditions": wanted} if wanted else {})
        call = Call("delete", "DELETE", kind.plural, _path(kind, name, namespace), _bytes(options))
        try:
            await self._requests.send(call)
        except NotFound:
            return

    async def resource_version_of_api(self, override: str = "") -> str:
        """The newest version of resource.k8s.io that the server has and we speak."""
        if override:
            if override not in RESOURCE_API_VERSIONS:
                raise ConfigError(f"resource.k8s.io/{override}: we speak {', '.join(RESOURCE_API_VERSIONS)}")
            return override
        call = Call("get", "GET", "apigroups", "/apis/resource.k8s.io")
        try:
            group = msgspec.json.decode(await self._requests.send(call), type=_Group)
        except NotFound as error:
            raise ConfigError(_no_dra(self._requests.server, "nothing of it")) from error
        except UNREADABLE as error:
            raise Again(f"{self._what(call)}: cannot be read: {error}") from error
        served = {entry.version for entry in group.versions}
        for version in RESOURCE_API_VERSIONS:
            if version in served:
                return version
        raise ConfigError(_no_dra(self._requests.server, ", ".join(sorted(served)) or "nothing of it"))

    async def _write(self, kind: Kind[T], call: Call) -> T:
        return decode_object(kind, await self._requests.send(call), self._what(call))

    def _event(self, kind: Kind[T], line: bytes, call: Call) -> WatchEvent[T]:
        read = decode_line(line, self._what(call))
        if read.type == "ERROR":
            raise failure_in_watch(bytes(read.object)).error(call, self._requests.server)
        if read.type not in _EVENT_TYPES:
            raise Again(f"{self._what(call)}: an event of the unknown type {read.type!r}")
        kind_of_event = cast("Literal['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']", read.type)
        return WatchEvent(kind_of_event, decode_object(kind, read.object, self._what(call)))

    def _what(self, call: Call) -> str:
        return f"{call.text} at {self._requests.server}"


class _GroupVersion(msgspec.Struct):
    version: str


class _Group(msgspec.Struct):
    """APIGroup, as far as versions go."""

    versions: list[_GroupVersion] = msgspec.field(default_factory=list)


def _no_dra(server: str, served: str) -> str:
    return (
        f"{server} serves {served} of resource.k8s.io, and we speak {', '.join(RESOURCE_API_VERSIONS)}: "
        f"enable DynamicResourceAllocation (Kubernetes 1.32 or later)"
    )


def _collection(kind: Kind[Any], namespace: str) -> str:
    """Where objects are created. A missing namespace would be another resource."""
    if kind.namespaced and not namespace:
        raise ValueError(f"{kind.plural}: a namespace is needed")
    return kind.path(namespace=quote(namespace, safe=""))


def _path(kind: Kind[Any], name: str, namespace: str, subresource: str = "") -> str:
    """Where one object is. An empty name would be the whole collection, and DELETE would empty it."""
    if not name:
        raise ValueError(f"{kind.plural} in {namespace!r}: a name is needed")
    parts = [_collection(kind, namespace), quote(name, safe=""), *([subresource] if subresource else [])]
    return "/".join(parts)


def _namespace(body: Json) -> str:
    return str(body.get("metadata", {}).get("namespace", ""))


def _query(**parameters: str) -> str:
    given = {key: value for key, value in parameters.items() if value}
    return f"?{urlencode(given)}" if given else ""


def _headed(kind: Kind[Any], body: Json) -> Json:
    """Every manifest says what it is."""
    return {"apiVersion": kind.api_version, "kind": kind.kind} | body


def _bytes(value: Any) -> bytes:
    return msgspec.json.encode(value)
