"""A rendered object against the official client's models: every field is known, of its type, and none is missing."""

from typing import Any

from kubernetes import client
from pydantic import ValidationError

_CLIENT = client.ApiClient()


def faults(found: dict[str, Any]) -> list[str]:
    """What the API server would refuse, as far as the schema goes."""
    name = f"{found['kind']} {found['metadata']['name']}"
    model = getattr(client, f"{found['apiVersion'].rpartition('/')[2].capitalize()}{found['kind']}", None)
    if model is None:
        return [f"{name}: no such kind in {found['apiVersion']}"]
    try:
        read = model.model_validate(found)
    except ValidationError as error:
        return [f"{name}: {fault['loc']}: {fault['msg']}" for fault in error.errors()]
    # the models take Python's spelling of a field too; the API does not
    return (
        [] if _CLIENT.sanitize_for_serialization(read) == found else [f"{name}: a field is not spelled as in the API"]
    )
