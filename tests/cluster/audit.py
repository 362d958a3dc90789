"""What the API server's audit log says of the driver's own accounts."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from nvdra.api import names
from tests.cluster.bed.cluster import Cluster

ACCOUNTS = f"system:serviceaccount:{names.DRIVER_NAMESPACE}:"


NOT_READY: list[tuple[str, str]] = []
"""From when to when (as the log writes it) the API server was starting: before it knows its rules, it allows nothing."""


def now() -> str:
    """The moment, as the audit log writes it."""
    return datetime.now(UTC).isoformat()


def requests(bed: Cluster) -> Iterator[dict[str, Any]]:
    """Every request of a service account of the driver's namespace, once each."""
    with bed.layout.audit.open() as log:
        for line in log:
            if ACCOUNTS in line and line.endswith("\n"):
                yield json.loads(line)


def refused(bed: Cluster) -> list[str]:
    """Requests that were answered with 403, as sentences."""
    found = [one for one in requests(bed) if one.get("responseStatus", {}).get("code") == 403]
    return [_sentence(one) for one in found if not any(a <= one["stageTimestamp"] <= b for a, b in NOT_READY)]


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
