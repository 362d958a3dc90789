"""The resources that the server offers: built-in ones as data, one line each, and those that CRDs add."""

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import define, evolve, field, frozen

Json = dict[str, Any]


@frozen
class Resource:
    """One REST resource. The first of `versions` is the stored one.

    `status`: has a status subresource. `generation`: counts changes of the spec. `unconditional`: a PUT without
    resourceVersion is accepted. `names`: how names are checked. `definition`: the CRD it comes from.
    """

    group: str
    versions: tuple[str, ...]
    plural: str
    kind: str
    namespaced: bool = True
    status: bool = False
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    generation: bool = True
    unconditional: bool = True
    names: str = "subdomain"
    subresources: tuple[str, ...] = ()
    singular_name: str = ""
    definition: Json | None = field(default=None, eq=False)

    @property
    def key(self) -> tuple[str, str]:
        """What identifies it, whatever the version."""
        return self.group, self.plural

    @property
    def singular(self) -> str:
        """The word for one of them."""
        return self.singular_name or self.kind.lower()

    @property
    def qualified(self) -> str:
        """`plural.group`, as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def kind_dot_group(self) -> str:
        """`Kind.group`, as messages name it."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def api_version(self, version: str = "") -> str:
        """`group/version` of the stored version, or of another."""
        spoken = version or self.versions[0]
        return f"{self.group}/{spoken}" if self.group else spoken


@frozen
class Ref:
    """What a request is about. `version` is the API version that the client speaks; "" for the stored one."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    version: str = ""

    def at(self, name: str) -> "Ref":
        """Another object of the same resource and namespace."""
        return evolve(self, name=name)

    @property
    def key(self) -> tuple[str, str]:
        """The key in its collection."""
        return self.namespace, self.name


_V1 = ("v1",)
_ALL = ("all",)
_DRA = ("v1", "v1beta2", "v1beta1")
_EXTENSIONS = "apiextensions.k8s.io"
_RBAC = "rbac.authorization.k8s.io"

BUILT_IN: tuple[Resource, ...] = (
    Resource("", _V1, "namespaces", "Namespace", False, True, ("ns",), generation=False, names="label"),
    Resource("", _V1, "nodes", "Node", False, True, ("no",), generation=False),
    Resource("", _V1, "pods", "Pod", True, True, ("po",), _ALL, subresources=("log", "exec", "binding", "eviction")),
    Resource("", _V1, "events", "Event", short=("ev",), generation=False),
    Resource("", _V1, "services", "Service", True, True, ("svc",), _ALL, generation=False, names="label"),
    Resource("", _V1, "endpoints", "Endpoints", short=("ep",), generation=False, singular_name="endpoints"),
    Resource("", _V1, "configmaps", "ConfigMap", short=("cm",), generation=False),
    Resource("", _V1, "secrets", "Secret", generation=False),
    Resource("", _V1, "serviceaccounts", "ServiceAccount", short=("sa",), generation=False),
    Resource("apps", _V1, "daemonsets", "DaemonSet", True, True, ("ds",), _ALL),
    Resource("apps", _V1, "deployments", "Deployment", True, True, ("deploy",), _ALL),
    Resource("apps", _V1, "replicasets", "ReplicaSet", True, True, ("rs",), _ALL),
    Resource("apps", _V1, "controllerrevisions", "ControllerRevision", generation=False),
    Resource("batch", _V1, "jobs", "Job", True, True, categories=_ALL),
    Resource("coordination.k8s.io", _V1, "leases", "Lease", generation=False, unconditional=False),
    Resource("networking.k8s.io", _V1, "networkpolicies", "NetworkPolicy", short=("netpol",)),
    Resource("resource.k8s.io", _DRA, "deviceclasses", "DeviceClass", False),
    Resource("resource.k8s.io", _DRA, "resourceclaims", "ResourceClaim", True, True, generation=False),
    Resource("resource.k8s.io", _DRA, "resourceclaimtemplates", "ResourceClaimTemplate", generation=False),
    Resource("resource.k8s.io", _DRA, "resourceslices", "ResourceSlice", False),
    Resource(_EXTENSIONS, _V1, "customresourcedefinitions", "CustomResourceDefinition", False, True, ("crd", "crds")),
    Resource(_RBAC, _V1, "clusterroles", "ClusterRole", False, generation=False, names="path"),
    Resource(_RBAC, _V1, "clusterrolebindings", "ClusterRoleBinding", False, generation=False, names="path"),
    Resource(_RBAC, _V1, "roles", "Role", generation=False, names="path"),
    Resource(_RBAC, _V1, "rolebindings", "RoleBinding", generation=False, names="path"),
    Resource("scheduling.k8s.io", _V1, "priorityclasses", "PriorityClass", False, short=("pc",)),
)  # fmt: skip
EVENTS = Resource("events.k8s.io", _V1, "events", "Event", short=("ev",), generation=False)
"""Served from the same objects as core/v1 Events."""


@define
class Catalog:
    """Which resources there are now: the built-in ones and those of the CRDs."""

    resource_api: Sequence[str] = _DRA
    _by_key: dict[tuple[str, str], Resource] = field(init=False, factory=dict)
    changes: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        """Start with the built-in ones."""
        for resource in (*BUILT_IN, EVENTS):
            self._by_key[resource.key] = resource

    def add(self, resource: Resource) -> None:
        """Offer a resource, or another shape of it."""
        self._by_key[resource.key] = resource
        self.changes += 1

    def remove(self, key: tuple[str, str]) -> None:
        """Offer it no longer."""
        self._by_key.pop(key, None)
        self.changes += 1

    def find(self, group: str, plural: str, version: str = "") -> Resource | None:
        """The resource, if it is offered in that version."""
        resource = self._by_key.get((group, plural))
        if resource is None or (version and version not in self.offered(resource)):
            return None
        return resource

    def by_kind(self, group: str, kind: str) -> Resource | None:
        """The resource of that kind."""
        return next((r for r in self._by_key.values() if r.group == group and r.kind == kind), None)

    def offered(self, resource: Resource) -> tuple[str, ...]:
        """The versions that clients may speak, in order of preference."""
        if resource.group != "resource.k8s.io":
            return resource.versions
        return tuple(version for version in resource.versions if version in self.resource_api)

    def __iter__(self) -> Iterator[Resource]:
        return iter(tuple(self._by_key.values()))
