"""Which sort of patch is put on an object how, and which is refused."""

from typing import Any

from nvdra.sim.apiserver import patches, strategic
from nvdra.sim.apiserver.resources import Ref
from nvdra.sim.apiserver.status import StatusError, bad_request

Json = dict[str, Any]


def patched(base: Json, kind: str, patch: Any, ref: Ref) -> Json:
    """The object with the patch on it; `base` stays as it is."""
    match kind:
        case "json":
            if not isinstance(patch, list):
                raise bad_request("error decoding patch: a JSON patch is a list of operations")
            return patches.json_patched(base, patch)
        case "strategic":
            if ref.resource.definition is not None:
                text = "unknown format of the body: custom resources take no strategic merge patch"
                raise StatusError(415, "UnsupportedMediaType", text)
            return strategic.patched(base, patch)
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: a merge patch is an object")
    merged: Json = patches.merged(base, patch)
    return merged
