"""What `kubectl get` would print: the server's own tables, as plain text. No kubectl is needed for the demo."""

import json
import urllib.request
from typing import Any

_ACCEPT = "application/json;as=Table;v=v1;g=meta.k8s.io"


def get(url: str, path: str) -> str:
    """The table of a collection, such as /api/v1/namespaces/default/pods?labelSelector=a%3Db."""
    request = urllib.request.Request(f"{url}{path}", headers={"Accept": _ACCEPT, "User-Agent": "demo"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return text(json.loads(answer.read()))


def text(table: dict[str, Any]) -> str:
    """Columns of priority 0, as wide as they need to be."""
    shown = [n for n, column in enumerate(table["columnDefinitions"]) if not column.get("priority")]
    rows = [[table["columnDefinitions"][n]["name"].upper() for n in shown]]
    rows += [[_cell(row["cells"][n]) for n in shown] for row in table.get("rows") or ()]
    if len(rows) == 1:
        return "No resources found"
    widths = [max(len(row[n]) for row in rows) for n in range(len(shown))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _cell(value: Any) -> str:
    return "<none>" if value is None else str(value)
