"""Custom resources: from CRD objects to resources with a compiled schema."""

from typing import Any

from attrs import define

from nvdra.sim.apiserver.collection import Change
from nvdra.sim.apiserver.requests import Writing
from nvdra.sim.apiserver.resources import Catalog, Resource
from nvdra.sim.apiserver.status import Flaw

Json = dict[str, Any]


@define(eq=False)
class Definitions:
    """The CRDs there are, compiled."""

    catalog: Catalog

    def shaped(self, resource: Resource, obj: Json, how: Writing) -> Json:
        """The object with unknown fields pruned and defaults filled in."""
        return obj

    def flaws(self, resource: Resource, new: Json, old: Json | None) -> list[Flaw]:
        """What the schema says against it."""
        return []

    def note(self, change: Change) -> None:
        """A CRD came, changed or went."""
