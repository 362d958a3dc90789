"""One request on its way: its parts decoded once, with the server's things at hand."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import yaml
from aiohttp import web
from attrs import define, evolve, field, frozen

from nvdra.sim.apiserver import protobuf, selectors
from nvdra.sim.apiserver.faults import Call, Faults
from nvdra.sim.apiserver.requests import Deletion, Paging, Writing
from nvdra.sim.apiserver.resources import Ref
from nvdra.sim.apiserver.routes import Route
from nvdra.sim.apiserver.selectors import Selector
from nvdra.sim.apiserver.status import StatusError, bad_request
from nvdra.sim.apiserver.store import ObjectStore

Json = dict[str, Any]
LogProvider = Callable[[str, str, str, bool, bool], AsyncIterator[bytes]]
"""logs(namespace, pod, container, previous, follow): chunks as they are, or as they come."""
ExecProvider = Callable[[str, str, str, Sequence[str], Callable[[str], None]], Awaitable[int]]
"""execute(namespace, pod, container, argv, say): runs it to its end, says each line, gives its exit code."""
_PATCHES = {
    "application/merge-patch+json": "merge",
    "application/json-patch+json": "json",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


@frozen
class Pods:
    """Who runs the pods, for what the store does not know of them; None: nobody."""

    logs: LogProvider | None = None
    execute: ExecProvider | None = None


@define(eq=False)
class Exchange:
    """A request and what is needed to answer it."""

    store: ObjectStore
    faults: Faults
    request: web.Request
    route: Route
    verb: str
    pods: Pods
    bookmark_seconds: float
    warnings: list[str] = field(init=False, factory=list)

    @property
    def agent(self) -> str:
        """The User-Agent header."""
        return self.request.headers.get("User-Agent", "unknown")

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters."""
        return self.request.query

    @property
    def call(self) -> Call:
        """What faults and counters see of it. An apply is a patch with a name of its own."""
        verb = "apply" if self.verb == "patch" and self.patch_kind == "apply" else self.verb
        return Call(verb, self.route.resource, self.route.name, self.agent)

    def count(self, code: int) -> None:
        """It was answered so; 0 for not at all."""
        self.store.counters.count(self.agent, self.call.verb, self.route.resource, code)

    @property
    def patch_kind(self) -> str:
        """merge, json, strategic or apply."""
        return _PATCHES.get(self.request.content_type, "")

    def ref(self) -> Ref:
        """What it is about; 404 when that is not offered."""
        route = self.route
        found = self.store.ref(route.group, route.version, route.plural, route.namespace, route.name)
        if found.resource.namespaced and not route.namespace and (route.name or self.verb == "create"):
            raise bad_request("an empty namespace may not be set for a namespaced resource")
        return evolve(found, subresource=route.subresource)

    def selector(self, ref: Ref) -> Selector:
        """Its selectors."""
        return selectors.parse(ref.resource, self.query.get("labelSelector", ""), self.query.get("fieldSelector", ""))

    def paging(self) -> Paging:
        """Its limit, continue and resourceVersion."""
        limit = self.query.get("limit", "0") or "0"
        if not limit.isdigit():
            raise bad_request(f"limit: {limit!r} is not a number")
        token, version = self.query.get("continue", ""), self.query.get("resourceVersion", "")
        return Paging(int(limit), token, version, self.query.get("resourceVersionMatch", ""))

    def writing(self) -> Writing:
        """How it wants to write."""
        dry = self.query.get("dryRun", "")
        if dry not in ("", "All"):
            raise bad_request(f'dryRun: Unsupported value: "{dry}": supported values: "All"')
        validation = self.query.get("fieldValidation", "") or "Warn"
        if validation not in ("Strict", "Warn", "Ignore"):
            raise bad_request(
                f'fieldValidation: Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"'
            )
        manager = self.query.get("fieldManager", "") or self.agent.split("/", 1)[0]
        force = self.query.get("force", "") in ("true", "1")
        return Writing(manager, dry == "All", force, validation, self.warnings.append)

    async def deletion(self) -> Deletion:
        """How it wants to delete: from its body and its parameters."""
        raw = await self.request.read()
        body = self._decoded(raw) if raw.strip() else {}
        conditions = body.get("preconditions") or {}
        grace = body.get("gracePeriodSeconds", self.query.get("gracePeriodSeconds"))
        policy = body.get("propagationPolicy") or self.query.get("propagationPolicy", "")
        dry = bool(body.get("dryRun") or self.query.get("dryRun"))
        if not policy and (body.get("orphanDependents") or self.query.get("orphanDependents") == "true"):
            policy = "Orphan"
        seconds = int(grace) if grace is not None else None
        return Deletion(seconds, policy, conditions.get("uid") or "", conditions.get("resourceVersion") or "", dry)

    async def body(self) -> Any:
        """Its body, from JSON or YAML."""
        return self._decoded(await self.request.read())

    def _decoded(self, raw: bytes) -> Any:
        kind = self.request.content_type
        if "protobuf" in kind:
            return protobuf.decoded(raw)
        if "cbor" in kind:
            raise StatusError(415, "UnsupportedMediaType", f"the embedded API server does not read {kind}; send JSON")
        try:
            return msgspec.json.decode(raw)
        except msgspec.DecodeError as error:
            if "yaml" not in kind:
                raise bad_request(f"the object provided is unrecognized: {error}") from error
        try:
            return yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise bad_request(f"the object provided is unrecognized: {error}") from error
