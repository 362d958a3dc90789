"""Table answers for `kubectl get`: rows of cells, with as much of each object as the client asked for."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web
from attrs import define, field

from nvdra.sim.apiserver import columns
from nvdra.sim.apiserver.collection import Entry
from nvdra.sim.apiserver.exchange import Exchange
from nvdra.sim.apiserver.resources import Ref

Json = dict[str, Any]


def wanted(request: web.Request) -> bool:
    """The client prefers a Table."""
    first = request.headers.get("Accept", "").split(",", 1)[0]
    return "as=Table" in first


def table(exchange: Exchange, ref: Ref, entries: Sequence[Entry], meta: Json) -> Json:
    """The entries as a Table."""
    return Columns(exchange, ref).of(entries, meta)


@define(eq=False)
class Columns:
    """The columns of one resource, and the rows of its objects. Column definitions are told once a stream."""

    exchange: Exchange
    ref: Ref
    _told: bool = field(init=False, default=False)
    _columns: list[columns.Column] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Choose the columns."""
        self._columns = columns.of(self.ref.resource)

    def of(self, entries: Sequence[Entry], meta: Json) -> Json:
        """Rows for entries."""
        rows = [self._row(entry) for entry in entries]
        told = None if self._told else [column.definition() for column in self._columns]
        self._told = True
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": meta,
            "columnDefinitions": told,
            "rows": rows,
        }

    def _row(self, entry: Entry) -> Json:
        now = self.exchange.store.clock()
        cells = [column.value(entry.object, now) for column in self._columns]
        include = self.exchange.query.get("includeObject", "Metadata")
        if include == "None":
            return {"cells": cells}
        if include == "Object":
            return {"cells": cells, "object": entry.spoken(self.ref.version)}
        meta = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": entry.meta}
        return {"cells": cells, "object": meta}
