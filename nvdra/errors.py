"""Everything that may go wrong, by what the engine does next; nothing about who raises it."""


class NvdraError(Exception):
    """Base of all errors of ours. Its text names the thing, the place and the way out."""


class NotYet(NvdraError):
    """The snapshot cannot be taken: something was not read yet. Nothing is ordered until the store changes."""


class Again(NvdraError):
    """An order could not be carried out this time. Tried again after `after` seconds, or with back-off when None."""

    def __init__(self, text: str, *, after: float | None = None) -> None:
        super().__init__(text)
        self.after = after


class Later(Again):
    """An order is held back on purpose for `after` seconds (a burst goes on, somebody was just woken). No failure."""


class Refused(NvdraError):
    """An order cannot be carried out as the world stands.

    Announced once under `reason` (CamelCase), tried again on any change and every 30 s.
    """

    def __init__(self, text: str, *, reason: str = "Refused") -> None:
        super().__init__(text)
        self.reason = reason


class StatechartError(NvdraError):
    """A statechart file is faulty; the text lists every fault with its address."""


class ConfigError(NvdraError):
    """What a user wrote (flag, file, device config) cannot be used; the text says where and why."""


class ApiError(Again):
    """The API server answered with an error status."""

    def __init__(self, text: str, *, code: int, reason: str = "", after: float | None = None) -> None:
        super().__init__(text, after=after)
        self.code = code
        self.reason = reason


class Forbidden(ApiError):
    """403: an RBAC rule is missing. Told like a refusal, tried again as any other error."""


class Conflict(ApiError):
    """409: somebody wrote in between, or a precondition (uid, resourceVersion, test) did not hold."""


class AlreadyExists(ApiError):
    """409 on create: an object of that name is there."""


class NotFound(ApiError):
    """404."""


class Gone(ApiError):
    """410: the resourceVersion is too old; list again."""
