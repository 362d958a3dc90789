"""From an answer that is no success to the error that the engine understands. Pure."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from attrs import field, frozen

from nvdra.errors import AlreadyExists, ApiError, Conflict, Forbidden, Gone, NotFound

MAX_RETRY_AFTER = 30.0
_MAX_TEXT = 1000
_UNAPPLIED = "the server rejected our request due to an error in our request"
"""All that kube-apiserver says when a JSON patch could not be applied, a failed `test` included (measured on 1.37)."""


class Details(msgspec.Struct):
    """`details` of a Status."""

    retry_after: float = msgspec.field(name="retryAfterSeconds", default=0.0)
    causes: tuple[dict[str, str], ...] | None = None


@frozen
class Status:
    """metav1.Status, as far as it tells us what to do."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: Details | None = None


@frozen
class Call:
    """What is asked of the API server. `tests`: a JSON patch with a `test` in it."""

    verb: str
    method: str
    resource: str
    target: str
    body: bytes = b""
    content_type: str = "application/json"
    tests: bool = False

    @property
    def text(self) -> str:
        """`GET /api/v1/nodes`: without selectors and versions, so that the same trouble has the same text."""
        return f"{self.method} {self.target.partition('?')[0]}"


@frozen
class Failure:
    """An answer with an error status."""

    code: int
    status: Status = field(factory=Status)
    retry_after: float | None = None

    @property
    def pause(self) -> float | None:
        """Seconds before the same request may be sent again; None when the error is for the caller.

        429, and 503 with Retry-After, mean that the request was turned away before it did anything.
        """
        turned_away = self.code == HTTPStatus.TOO_MANY_REQUESTS or (
            self.code == HTTPStatus.SERVICE_UNAVAILABLE and self.retry_after is not None
        )
        if not turned_away:
            return None
        return 1.0 if self.retry_after is None else self.retry_after

    def error(self, call: Call, server: str) -> ApiError:
        """The error that says what the engine does next."""
        message = self.status.message[:_MAX_TEXT] or "no reason given"
        text = f"{call.text} at {server}: {self.code} {_phrase(self.code)}: {message}"
        if self.code == HTTPStatus.FORBIDDEN:
            text += (
                f" (a ClusterRole or Role of ours must allow {call.verb} on {call.resource}:"
                " helm upgrade puts back what the chart grants, Helm 4 with --force-conflicts if it says so)"
            )
        if self.code == HTTPStatus.TOO_MANY_REQUESTS:
            text += " (it is tried again by itself; if this lasts, give the driver a FlowSchema of its own)"
        return self._class(call)(text, code=self.code, reason=self.status.reason, after=self.retry_after)

    def _class(self, call: Call) -> type[ApiError]:
        if self.code == HTTPStatus.FORBIDDEN:
            return Forbidden
        if self.code == HTTPStatus.NOT_FOUND:
            return NotFound
        if self.code == HTTPStatus.GONE:
            return Gone
        if self.code == HTTPStatus.CONFLICT:
            creates = call.verb == "create" and self.status.reason in {"AlreadyExists", ""}
            return AlreadyExists if creates else Conflict
        if self.code == HTTPStatus.UNPROCESSABLE_ENTITY and call.tests and self._unapplied:
            return Conflict
        return ApiError

    @property
    def _unapplied(self) -> bool:
        message, details = self.status.message, self.status.details
        return "testing value" in message or (
            message.startswith(_UNAPPLIED) and not (details is not None and details.causes)
        )


def failure_of(code: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Read a Status, or whatever a proxy in between wrote instead."""
    try:
        status = msgspec.json.decode(body, type=Status)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        status = Status(body[:_MAX_TEXT].decode("utf-8", "replace").strip())
    return Failure(code, status, _retry_after(headers, status))


def failure_in_watch(body: bytes) -> Failure:
    """The Status that an ERROR event carries."""
    failure = failure_of(HTTPStatus.INTERNAL_SERVER_ERROR, {}, body)
    return Failure(failure.status.code or failure.code, failure.status, failure.retry_after)


def _retry_after(headers: Mapping[str, str], status: Status) -> float | None:
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    if status.details is not None and status.details.retry_after > 0:
        return min(status.details.retry_after, MAX_RETRY_AFTER)
    return None


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "unknown status"
