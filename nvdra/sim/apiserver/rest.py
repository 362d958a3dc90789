"""Answering requests about resources: the verbs of REST on the store."""

from typing import Any

import msgspec
from aiohttp import web

from nvdra.sim.apiserver import executing, logs, streaming, tables
from nvdra.sim.apiserver.collection import Entry
from nvdra.sim.apiserver.exchange import Exchange
from nvdra.sim.apiserver.requests import Page, Paging
from nvdra.sim.apiserver.resources import Ref
from nvdra.sim.apiserver.status import StatusError, bad_request, not_implemented

Json = dict[str, Any]
_WRITABLE = ("", "status", "binding", "eviction", "finalize")


async def answer(exchange: Exchange) -> web.StreamResponse:
    """Do what is asked and answer."""
    ref = exchange.ref()
    _check_subresource(ref)
    match exchange.verb:
        case "get":
            return await _get(exchange, ref)
        case "list":
            return _list(exchange, ref)
        case "watch":
            return await streaming.watch(exchange, ref)
        case "create":
            return await _create(exchange, ref)
        case "update" | "patch":
            return await _change(exchange, ref)
        case "delete":
            return await _delete(exchange, ref)
    return await _delete_collection(exchange, ref)


def refused(error: StatusError) -> web.Response:
    """The answer to what was refused."""
    headers = {"Retry-After": str(error.after)} if error.after is not None else {}
    return raw(msgspec.json.encode(error.body()), status=error.code, headers=headers)


def raw(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Encoded JSON as an answer."""
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def _check_subresource(ref: Ref) -> None:
    known = {"", *ref.resource.subresources}
    if ref.resource.status:
        known.add("status")
    if ref.subresource == "scale":
        raise not_implemented("scale subresources")
    if ref.subresource not in known:
        raise StatusError(404, "NotFound", "the server could not find the requested resource")


async def _get(exchange: Exchange, ref: Ref) -> web.StreamResponse:
    if ref.subresource == "log":
        return await logs.answer(exchange, ref)
    if ref.subresource == "exec":
        return await executing.answer(exchange, ref)
    return _object(exchange, ref, exchange.store.get(ref))


def _object(exchange: Exchange, ref: Ref, entry: Entry, status: int = 200) -> web.Response:
    headers = (
        {"Warning": ", ".join(f'299 - "{_quoted(text)}"' for text in exchange.warnings)} if exchange.warnings else None
    )
    if tables.wanted(exchange.request):
        body = msgspec.json.encode(
            tables.table(exchange, ref, [entry], {"resourceVersion": entry.meta.get("resourceVersion", "")})
        )
        return raw(body, status=status, headers=headers)
    return raw(entry.wire(ref.version), status=status, headers=headers)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _list(exchange: Exchange, ref: Ref) -> web.Response:
    paging = exchange.paging()
    if rule := exchange.faults.struck(exchange.call, ("stale",)):
        paging = Paging(paging.limit, "", str(max(1, exchange.store.version - rule.versions)), "Exact")
    if rule := exchange.faults.struck(exchange.call, ("gone",)):
        raise StatusError(410, "Expired", "The provided continue parameter is too old: ordered fault")
    page = exchange.store.list(ref, exchange.selector(ref), paging)
    meta: Json = {"resourceVersion": str(page.version)}
    if page.token:
        meta.update({"continue": page.token, "remainingItemCount": page.remaining})
    if tables.wanted(exchange.request):
        return raw(msgspec.json.encode(tables.table(exchange, ref, page.entries, meta)))
    return raw(_listing(ref, page, meta))


def _listing(ref: Ref, page: Page, meta: Json) -> bytes:
    version = ref.version if "/" in ref.version else ref.resource.api_version(ref.version)
    head = {"kind": f"{ref.resource.kind}List", "apiVersion": version, "metadata": meta}
    items = b",".join(entry.wire(ref.version) for entry in page.entries)
    return msgspec.json.encode(head)[:-1] + b',"items":[' + items + b"]}"


async def _create(exchange: Exchange, ref: Ref) -> web.Response:
    store = exchange.store
    if ref.subresource == "exec":
        executing.command_of(exchange)
        raise not_implemented("exec over SPDY; kubectl 1.31 and newer asks over a WebSocket")
    if (ref.subresource or ref.name) and ref.subresource not in ("binding", "eviction"):
        raise StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    body = await exchange.body()
    if ref.subresource == "binding":
        store.bind(ref, body)
        return raw(msgspec.json.encode(_success()), status=201)
    if ref.subresource == "eviction":
        store.delete(ref)
        return raw(msgspec.json.encode(_success()), status=201)
    return _object(exchange, ref, store.create(ref, body, exchange.writing()), 201)


async def _change(exchange: Exchange, ref: Ref) -> web.Response:
    if not ref.name or ref.subresource not in _WRITABLE:
        raise StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    body, writing = await exchange.body(), exchange.writing()
    if exchange.verb == "update":
        return _object(exchange, ref, exchange.store.update(ref, body, writing))
    if not exchange.patch_kind:
        raise StatusError(
            415,
            "UnsupportedMediaType",
            f"the body of the request was in an unknown format: {exchange.request.content_type}",
        )
    there = ref.key in exchange.store.collection(ref).entries
    entry = exchange.store.patch(ref, exchange.patch_kind, body, writing)
    return _object(exchange, ref, entry, 200 if there else 201)


async def _delete(exchange: Exchange, ref: Ref) -> web.Response:
    how = await exchange.deletion()
    if ref.subresource:
        raise StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    entry = exchange.store.delete(ref, how)
    if entry.key in exchange.store.collection(ref).entries or ref.resource.key == ("", "pods"):
        return _object(exchange, ref, entry)
    details = {"name": ref.name, "group": ref.resource.group, "kind": ref.resource.plural, "uid": entry.meta["uid"]}
    return raw(msgspec.json.encode({**_success(), "details": details}))


async def _delete_collection(exchange: Exchange, ref: Ref) -> web.Response:
    if ref.resource.namespaced and not ref.namespace:
        raise bad_request("the server does not delete a namespaced collection in all namespaces at once; name one")
    found = exchange.store.delete_collection(ref, exchange.selector(ref), await exchange.deletion())
    return raw(
        _listing(ref, Page(list(found), exchange.store.version), {"resourceVersion": str(exchange.store.version)})
    )


def _success() -> Json:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
