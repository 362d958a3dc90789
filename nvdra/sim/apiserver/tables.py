"""Table answers for kubectl get."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web
from attrs import define

from nvdra.sim.apiserver.collection import Entry
from nvdra.sim.apiserver.exchange import Exchange
from nvdra.sim.apiserver.resources import Ref

Json = dict[str, Any]


def wanted(request: web.Request) -> bool:
    """The client prefers a Table."""
    return "as=Table" in request.headers.get("Accept", "")


def table(exchange: Exchange, ref: Ref, entries: Sequence[Entry], meta: Json) -> Json:
    """The entries as a Table."""
    return Columns(exchange, ref).of(entries, meta)


@define
class Columns:
    """The columns of one resource."""

    exchange: Exchange
    ref: Ref

    def of(self, entries: Sequence[Entry], meta: Json) -> Json:
        """Rows for entries."""
        rows = [
            {
                "cells": [entry.meta["name"]],
                "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": entry.meta},
            }
            for entry in entries
        ]
        columns = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": meta,
            "columnDefinitions": columns,
            "rows": rows,
        }
