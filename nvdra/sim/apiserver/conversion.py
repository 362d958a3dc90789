"""Between the stored version of an object and the version that a client speaks."""

from typing import Any

Json = dict[str, Any]


def spoken(obj: Json, version: str) -> Json:
    """The stored object in another version."""
    group, _, _ = obj["apiVersion"].rpartition("/")
    return {**obj, "apiVersion": f"{group}/{version}"}


def stored(obj: Json, storage: str) -> Json:
    """What a client sent, as it is stored."""
    return {**obj, "apiVersion": storage}
