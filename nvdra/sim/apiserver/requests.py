"""What a request asks of the store beside its subject: plain values, no behaviour."""

from collections.abc import Callable

from attrs import frozen

from nvdra.sim.apiserver.collection import Entry


def _nobody(_: str) -> None:
    return None


@frozen
class Writing:
    """How something is written: by whom, for real or not, by force, how strictly, and whom to warn."""

    manager: str = "unknown"
    dry_run: bool = False
    force: bool = False
    validation: str = "Ignore"
    warn: Callable[[str], None] = _nobody


@frozen
class Deletion:
    """How something is deleted; `grace` None: as long as the object says."""

    grace: int | None = None
    policy: str = ""
    uid: str = ""
    version: str = ""
    dry_run: bool = False


@frozen
class Paging:
    """Which part of a list, and as of when. `match`: Exact, NotOlderThan or ""."""

    limit: int = 0
    token: str = ""
    version: str = ""
    match: str = ""


@frozen
class Page:
    """One page of a list, the version it was read at, and where the next one begins."""

    entries: list[Entry]
    version: int
    token: str = ""
    remaining: int = 0
