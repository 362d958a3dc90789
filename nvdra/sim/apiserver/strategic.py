"""Strategic merge patch: lists of named things are merged by their names."""

from typing import Any

from nvdra.sim.apiserver.patches import merged

Json = dict[str, Any]


def patched(base: Json, patch: Json) -> Json:
    result: Json = merged(base, patch)
    return result
