"""From an URL to what is asked: resource, namespace, name, subresource and verb. Pure."""

from collections.abc import Mapping

from attrs import frozen

from nvdra.sim.apiserver.status import StatusError, no_such_resource

_OF_NAMESPACES = ("status", "finalize")
_TRUE = ("1", "true", "True")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@frozen
class Route:
    """A path below /api/v1 or /apis/GROUP/VERSION, taken apart."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def resource(self) -> str:
        """`plural` or `plural/subresource`, as requests are counted."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural


def parse(path: str) -> Route | None:
    """Take an API path apart; None when it is not the path of a resource."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        return _route("", parts[1], parts[2:])
    if parts[:1] == ["apis"] and len(parts) > 3:
        return _route(parts[1], parts[2], parts[3:])
    return None


def _route(group: str, version: str, rest: list[str]) -> Route:
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in _OF_NAMESPACES):
        namespace, rest = rest[1], rest[2:]
    if rest[0] in ("watch", "proxy"):
        raise StatusError(
            501, "NotImplemented", f"the embedded API server does not serve /{rest[0]}/ paths; use ?watch=true"
        )
    if len(rest) > 3:
        raise no_such_resource()
    return Route(group, version, rest[0], namespace, *rest[1:])


def verb(method: str, route: Route, query: Mapping[str, str]) -> str:
    """The verb of a request, as RBAC and the counters name it."""
    if method == "GET":
        if query.get("watch") in _TRUE:
            return "watch"
        return "get" if route.name else "list"
    if method == "DELETE":
        return "delete" if route.name else "deletecollection"
    if method not in _VERBS:
        raise StatusError(405, "MethodNotAllowed", f"the server does not allow {method} here")
    return _VERBS[method]
