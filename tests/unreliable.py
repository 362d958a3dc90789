"""A connection to the API server that fails when asked to, before or after the request took effect, or sees nothing new."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Literal

from attrs import define, field

from nvdra.api.kind import Kind
from nvdra.errors import ApiError
from nvdra.ports import Cluster, Listing

Fate = Literal["", "before", "after"]


@define(eq=False)
class Unreliable:
    """`fate` decides of each call (verb, plural). `blind`: kinds whose watches tell nothing for now."""

    inner: Cluster
    fate: Callable[[str, str], Fate] = lambda _verb, _plural: ""
    blind: set[str] = field(factory=set)
    calls: list[tuple[str, str]] = field(factory=list)

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Any:
        return await self._call("get", kind, lambda: self.inner.get(kind, name, namespace))

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        return await self._call("list", kind, lambda: self.inner.list(kind, namespace, labels=labels, fields=fields))

    async def create(self, kind: Kind, body: Any, namespace: str = "") -> Any:
        return await self._call("create", kind, lambda: self.inner.create(kind, body, namespace))

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: Any | Sequence[Any],
        namespace: str = "",
        *,
        how: Any = "merge",
        subresource: str = "",
    ) -> Any:
        return await self._call(
            "patch", kind, lambda: self.inner.patch(kind, name, patch, namespace, how=how, subresource=subresource)
        )

    async def replace(self, kind: Kind, name: str, body: Any, namespace: str = "") -> Any:
        return await self._call("replace", kind, lambda: self.inner.replace(kind, name, body, namespace))

    async def delete(self, kind: Kind, name: str, namespace: str = "", *, uid: str = "", version: str = "") -> None:
        await self._call("delete", kind, lambda: self.inner.delete(kind, name, namespace, uid=uid, version=version))

    async def watch(
        self, kind: Kind, version: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Any]:
        async for event in self.inner.watch(kind, version, namespace, labels=labels, fields=fields):
            while kind.plural in self.blind:
                await asyncio.sleep(0.05)
            yield event

    async def _call(self, verb: str, kind: Kind, work: Callable[[], Any]) -> Any:
        fate = self.fate(verb, kind.plural)
        self.calls.append((verb, kind.plural))
        await asyncio.sleep(0)  # as over any wire, others come to their turn meanwhile
        if fate == "before":
            raise ApiError(f"{verb} {kind.plural}: connection refused", code=0)
        answer = await work()
        await asyncio.sleep(0)
        if fate == "after":
            raise ApiError(f"{verb} {kind.plural}: connection lost", code=0)
        return answer
