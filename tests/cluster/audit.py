"""What the API server's audit log says of the driver's own accounts."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from nvdra.api import names
from tests.cluster.bed.cluster import Cluster

ACCOUNTS = f"system:serviceaccount:{names.DRIVER_NAMESPACE}:"


def requests(bed: Cluster) -> Iterator[dict[str, Any]]:
    """Every request of a service account of the driver's namespace, once each."""
    with bed.layout.audit.open() as log:
        for line in log:
            if ACCOUNTS in line and line.endswith("\n"):
                yield json.loads(line)


def refused(bed: Cluster) -> list[str]:
    """Requests that were answered with 403, as sentences."""
    return [_sentence(one) for one in requests(bed) if one.get("responseStatus", {}).get("code") == 403]


def used(bed: Cluster) -> Counter[tuple[str, str, str]]:
    """How often each account did each verb on each resource."""
    return Counter(
        (one["user"]["username"].removeprefix(ACCOUNTS), one["verb"], _resource(one))
        for one in requests(bed)
        if one["stage"] != "ResponseStarted"
    )


def _resource(one: dict[str, Any]) -> str:
    what = one.get("objectRef")
    if not what:
        return str(one["requestURI"]).partition("?")[0]
    return "/".join(part for part in (what.get("apiGroup", ""), what["resource"], what.get("subresource", "")) if part)


def _sentence(one: dict[str, Any]) -> str:
    why = one.get("responseStatus", {}).get("message", "")
    return f"{one['user']['username'].removeprefix(ACCOUNTS)} may not {one['verb']} {one['requestURI']}: {why}"
