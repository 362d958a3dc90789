"""What the domains need of the outside world, as Protocols. Adapters implement them; tests and the rack do too."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from attrs import frozen

from nvdra.api.kind import Kind

T = TypeVar("T")
Json = dict[str, Any]
"""A JSON object on its way out: a manifest or a patch."""

Clock = Callable[[], float]
"""Seconds on a clock that only moves forward; the origin means nothing."""
WallClock = Callable[[], float]
"""Seconds since 1970, for time stamps that people and other programs read."""


@frozen
class Listing(Generic[T]):
    """One consistent list: objects and the resourceVersion they were read at."""

    items: tuple[T, ...]
    version: str


@frozen
class WatchEvent(Generic[T]):
    """One line of a watch. A BOOKMARK carries only a newer resourceVersion (in `object.metadata`)."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: T


PatchType = Literal["merge", "json", "apply"]


class Cluster(Protocol):
    """The Kubernetes API. Every method raises ApiError (Conflict, AlreadyExists, NotFound, Gone) or Again."""

    async def get(self, kind: Kind[T], name: str, namespace: str = "") -> T:
        """Read one object live."""
        ...

    async def list(self, kind: Kind[T], namespace: str = "", *, labels: str = "", fields: str = "") -> Listing[T]:
        """Read a collection live, page by page."""
        ...

    def watch(
        self, kind: Kind[T], version: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        """Follow a collection from `version` on, bookmarks included; ends when the server closes. 410 raises Gone."""
        ...

    async def create(self, kind: Kind[T], body: Json, namespace: str = "") -> T:
        """Create an object; AlreadyExists when the name is taken."""
        ...

    async def patch(
        self,
        kind: Kind[T],
        name: str,
        patch: Json | Sequence[Json],
        namespace: str = "",
        *,
        how: PatchType = "merge",
        subresource: str = "",
    ) -> T:
        """Patch an object. A failed `test` of a JSON patch raises Conflict. `apply` is forced server-side apply."""
        ...

    async def replace(self, kind: Kind[T], name: str, body: Json, namespace: str = "") -> T:
        """Replace an object; with metadata.resourceVersion in the body, only if it is still that one."""
        ...

    async def delete(self, kind: Kind[T], name: str, namespace: str = "", *, uid: str = "", version: str = "") -> None:
        """Delete an object, only if it still has that uid and resourceVersion. Already gone is success."""
        ...


class Announcer(Protocol):
    """Kubernetes Events: telling people, never acting. Never raises; what cannot be told is logged."""

    def tell(self, about: "Subject", reason: str, message: str, *, warning: bool = False) -> None:
        """Record an Event about an object, folded with an equal one of the last minutes."""
        ...


@frozen
class Subject:
    """The object that an Event is about."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""


class Files(Protocol):
    """Small files that must survive a crash: written aside, synced, renamed into place."""

    def read(self, path: Path) -> bytes | None:
        """The content, or None when there is no such file."""
        ...

    def write(self, path: Path, content: bytes) -> None:
        """Atomic, synced; makes the folder when needed."""
        ...

    def overwrite(self, path: Path, content: bytes) -> None:
        """In place, in one write (a bind-mounted file such as /etc/hosts cannot be renamed over)."""
        ...

    def remove(self, path: Path) -> None:
        """Gone afterwards; already gone is success. A folder goes with its content."""
        ...


class Folders(Files, Protocol):
    """Files that are found again by looking what is there."""

    def names(self, folder: Path) -> Sequence[str]:
        """What is in a folder, in order; nothing when there is none."""
        ...

    def move(self, path: Path, target: Path) -> None:
        """Rename a file within its folder."""
        ...


@frozen
class Exit:
    """How a child process ended: exit code, or minus the signal's number."""

    code: int
    tail: tuple[str, ...] = ()


class Process(Protocol):
    """A child process under supervision."""

    @property
    def exited(self) -> Exit | None:
        """None while it runs."""
        ...

    def signal(self, number: int) -> None:
        """Send a signal; no error when it has ended meanwhile."""
        ...

    async def wait(self) -> Exit:
        """Wait for its end."""
        ...


@frozen
class Output:
    """What a short command printed."""

    code: int
    stdout: str
    stderr: str = ""


class Processes(Protocol):
    """Starting programs."""

    async def start(self, argv: Sequence[str], on_line: Callable[[str], None]) -> Process:
        """Start a long-running child; each line it prints goes to `on_line`. Refused when it cannot be started."""
        ...

    async def run(self, argv: Sequence[str], timeout: float) -> Output | None:
        """Run a short command; None when it did not end in `timeout` seconds (it is killed then)."""
        ...
