"""Our classes as plain JSON values, ready for the wire. Pure."""

from typing import Any

import msgspec


def plain(thing: object) -> dict[str, Any]:
    """An attrs instance as a JSON object: tuples become lists."""
    found: dict[str, Any] = msgspec.to_builtins(thing)
    return found
