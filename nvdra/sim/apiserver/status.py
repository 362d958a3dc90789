"""Refusals in the API's own form: a Status object with code, reason, message and details."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from nvdra.sim.apiserver.resources import Resource


class StatusError(Exception):
    """What the API answers instead of an object."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        if after is not None:
            self.details["retryAfterSeconds"] = after

    @property
    def after(self) -> int | None:
        """Seconds to wait before the next try, if the server said so."""
        value = self.details.get("retryAfterSeconds")
        return int(value) if value is not None else None

    def body(self) -> dict[str, Any]:
        """The Status object."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }


class PatchTestFailedError(StatusError):
    """A `test` of a JSON patch did not hold. On the wire it is a plain 422, as kube-apiserver answers it."""


@frozen
class Flaw:
    """One thing that is wrong with an object: where, what, and the API's word for the sort of mistake."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


def not_found(resource: Resource, name: str) -> StatusError:
    """404 for an object."""
    return StatusError(404, "NotFound", f'{resource.qualified} "{name}" not found', _details(resource, name))


def no_such_resource() -> StatusError:
    """404 for a path that leads nowhere."""
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: Resource, name: str) -> StatusError:
    """409 on create."""
    return StatusError(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', _details(resource, name))


def conflict(resource: Resource, name: str, why: str) -> StatusError:
    """409: a precondition did not hold."""
    text = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return StatusError(409, "Conflict", text, _details(resource, name))


STALE = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(resource: Resource, name: str, flaws: Sequence[Flaw]) -> StatusError:
    """422 with every flaw as a cause."""
    told = [f"{flaw.field}: {flaw.message}" if flaw.field else flaw.message for flaw in flaws]
    text = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    causes = [{"reason": flaw.reason, "message": flaw.message, "field": flaw.field} for flaw in flaws]
    details = {"name": name, "group": resource.group, "kind": resource.kind, "causes": causes}
    return StatusError(422, "Invalid", f'{resource.kind_dot_group} "{name}" is invalid: {text}', details)


def bad_request(message: str) -> StatusError:
    """400."""
    return StatusError(400, "BadRequest", message)


def forbidden(resource: Resource, name: str, why: str) -> StatusError:
    """403."""
    text = f'{resource.qualified} "{name}" is forbidden: {why}'
    return StatusError(403, "Forbidden", text, _details(resource, name))


def expired(version: object, oldest: int) -> StatusError:
    """410: the history does not go back that far."""
    return StatusError(410, "Expired", f"too old resource version: {version} ({oldest})")


def not_implemented(what: str) -> StatusError:
    """501: something that this server does not do."""
    return StatusError(501, "NotImplemented", f"the embedded API server does not do {what}; use a real cluster for it")


def _details(resource: Resource, name: str) -> dict[str, str]:
    details = {"name": name, "kind": resource.plural}
    return {**details, "group": resource.group} if resource.group else details
