"""What the API server's audit log says of the driver's own accounts."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from nvdra.api import names
from tests.chart.roles import Asked
from tests.cluster.bed.cluster import Cluster

ACCOUNTS = f"system:serviceaccount:{names.DRIVER_NAMESPACE}:"
BEGUN = [""]
"""When this session began: a bed that is kept has requests of earlier ones."""
WITHOUT_RULES: list[tuple[str, str]] = []
"""From when to when (as the log writes it) no rules were in force: while the API server starts, and while Helm takes the
roles away and our processes are still ending."""


def begin() -> None:
    """Count from here on."""
    BEGUN[0] = now()


def now() -> str:
    """The moment, as the audit log writes it."""
    return datetime.now(UTC).isoformat()


def requests(bed: Cluster) -> Iterator[dict[str, Any]]:
    """Every request of a service account of the driver's namespace, once each."""
    with bed.layout.audit.open() as log:
        for line in log:
            if ACCOUNTS in line and line.endswith("\n") and (one := json.loads(line))["stageTimestamp"] >= BEGUN[0]:
                yield one


def refused(bed: Cluster) -> list[str]:
    """Requests that were answered with 403, as sentences."""
    found = [one for one in requests(bed) if one.get("responseStatus", {}).get("code") == 403]
    return [_sentence(one) for one in found if not any(a <= one["stageTimestamp"] <= b for a, b in WITHOUT_RULES)]


def used(bed: Cluster) -> set[Asked]:
    """What was asked of the API server, each once."""
    return {_asked(one) for one in requests(bed) if "objectRef" in one}


def _asked(one: dict[str, Any]) -> Asked:
    what = one["objectRef"]
    resource = "/".join(part for part in (what["resource"], what.get("subresource", "")) if part)
    account = one["user"]["username"].removeprefix(ACCOUNTS)
    return Asked(
        account, one["verb"], what.get("apiGroup", ""), resource, what.get("namespace", ""), what.get("name", "")
    )


def _sentence(one: dict[str, Any]) -> str:
    why = one.get("responseStatus", {}).get("message", "")
    return f"{one['user']['username'].removeprefix(ACCOUNTS)} may not {one['verb']} {one['requestURI']}: {why}"
