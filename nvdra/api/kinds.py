"""Which path of the API serves which class: one `Kind` an object type."""

from typing import Generic, TypeVar

from attrs import evolve, frozen

from nvdra.api import computedomain, names, objects, resources

T = TypeVar("T")


@frozen
class Kind(Generic[T]):
    """A REST resource: where it lives and what its objects are decoded into."""

    type: type[T]
    kind: str
    plural: str
    version: str = "v1"
    group: str = ""
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone for core."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def at(self, version: str) -> "Kind[T]":
        """The same resource in another version of its group (resource.k8s.io)."""
        return evolve(self, version=version)

    def path(self, name: str = "", namespace: str = "", subresource: str = "") -> str:
        """The URL path of a collection, an object or its subresource."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        return "/".join([*parts, *(part for part in (self.plural, name, subresource) if part)])


@frozen
class Local(Generic[T]):
    """A kind of object that lives on this node only (a probe, a call, a record). Its objects have a `path`."""

    type: type[T]
    plural: str


NODES = Kind(objects.Node, "Node", "nodes", namespaced=False)
PODS = Kind(objects.Pod, "Pod", "pods")
EVENTS = Kind(objects.Event, "Event", "events")
DAEMON_SETS = Kind(objects.DaemonSet, "DaemonSet", "daemonsets", group="apps")
LEASES = Kind(objects.Lease, "Lease", "leases", group="coordination.k8s.io")
RESOURCE_CLAIMS = Kind(resources.ResourceClaim, "ResourceClaim", "resourceclaims", group="resource.k8s.io")
CLAIM_TEMPLATES = Kind(
    resources.ResourceClaimTemplate, "ResourceClaimTemplate", "resourceclaimtemplates", group="resource.k8s.io"
)
RESOURCE_SLICES = Kind(
    resources.ResourceSlice, "ResourceSlice", "resourceslices", group="resource.k8s.io", namespaced=False
)
COMPUTE_DOMAINS = Kind(
    computedomain.ComputeDomain, "ComputeDomain", "computedomains", version=names.VERSION, group=names.GROUP
)
ROSTERS = Kind(
    computedomain.Roster, "ComputeDomainClique", "computedomaincliques", version=names.VERSION, group=names.GROUP
)

RESOURCE_API_VERSIONS = ("v1", "v1beta2", "v1beta1")
"""Versions of resource.k8s.io that we speak, newest first."""
