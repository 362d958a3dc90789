"""What the built-in kinds add: defaults on the way in and their own rules. One table, a function a kind."""

from typing import Any

from nvdra.sim.apiserver.resources import Resource
from nvdra.sim.apiserver.status import Flaw

Json = dict[str, Any]


def default(resource: Resource, obj: Json) -> None:
    """Fill in what the real server would fill in."""


def flaws(resource: Resource, new: Json, old: Json | None) -> list[Flaw]:
    """What the kind's own rules say against it."""
    return []
