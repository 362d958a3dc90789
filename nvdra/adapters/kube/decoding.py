"""Bytes of the API into our frozen classes. What cannot be read is named, never skipped: skipped looks like deleted."""

import functools
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Generic, TypeVar, cast

import msgspec

from nvdra.api.kind import Kind
from nvdra.errors import Again

T = TypeVar("T")
MAX_LINE = 16 * 1024 * 1024
Raw = bytes | msgspec.Raw
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises on bytes of any kind."""


class PageMeta(msgspec.Struct):
    """`metadata` of a list; `continue` is a word of Python's."""

    version: str = msgspec.field(name="resourceVersion", default="")
    more: str = msgspec.field(name="continue", default="")


class Page(msgspec.Struct, Generic[T]):
    """One page of a list."""

    metadata: PageMeta
    items: list[T] | None = None


class Line(msgspec.Struct):
    """One line of a watch; the object is decoded when its type is known to be no error."""

    type: str
    object: msgspec.Raw


class Named(msgspec.Struct):
    """Just enough of an object to name it."""

    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


@functools.cache
def _decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(wanted)


@functools.cache
def _page_decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(Page[wanted])


def decode_object(kind: Kind[T], body: Raw, what: str) -> T:
    """One object."""
    try:
        return cast("T", _decoder(cast("Any", kind.type)).decode(body))
    except UNREADABLE as error:
        raise Again(f"{what}: {kind.kind} {_name(body)}: cannot be read: {error}") from error


def decode_page(kind: Kind[T], body: bytes, what: str) -> Page[T]:
    """One page of a list."""
    try:
        return cast("Page[T]", _page_decoder(cast("Any", kind.type)).decode(body))
    except UNREADABLE as error:
        for item in _items(body):
            decode_object(kind, item, what)
        raise Again(f"{what}: cannot be read: {error}") from error


def decode_line(line: Raw, what: str) -> Line:
    """The envelope of one event of a watch."""
    try:
        return cast("Line", _decoder(Line).decode(line))
    except UNREADABLE as error:
        raise Again(f"{what}: a line of the watch cannot be read: {error}: {bytes(line[:200])!r}") from error


async def lines(chunks: AsyncIterator[bytes], what: str) -> AsyncGenerator[bytes, None]:
    """Chunks cut at line ends. A line that breaks off, or never ends, is an error."""
    rest = bytearray()
    async for chunk in chunks:
        if b"\n" not in chunk:
            rest += chunk
            if len(rest) > MAX_LINE:
                raise Again(f"{what}: a line of the watch is longer than {MAX_LINE} bytes")
            continue
        first, *middle, last = chunk.split(b"\n")
        rest += first
        for line in (bytes(rest), *middle):
            if line.strip():
                yield line
        rest = bytearray(last)
    if rest.strip():
        raise Again(f"{what}: the watch ended in the middle of a line")


def _items(body: bytes) -> list[msgspec.Raw]:
    try:
        return _decoder(Page[msgspec.Raw]).decode(body).items or []
    except UNREADABLE:
        return []


def _name(body: Raw) -> str:
    try:
        meta = _decoder(Named).decode(body).metadata
    except UNREADABLE:
        return "without a readable name"
    return "/".join(str(part) for part in (meta.get("namespace"), meta.get("name")) if part) or "without a name"
