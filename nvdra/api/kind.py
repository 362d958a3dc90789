"""One `Kind` an object type: which path of the API serves it, and which class it is decoded into."""

from typing import Generic, TypeVar

from attrs import evolve, frozen

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
