"""What a plugin remembers of a claim on disk: enough to release it without the API, and to answer after a restart."""

from typing import Any, Final

from attrs import field, frozen

RECORD_VERSION: Final = 1
"""New knowledge gets a new top-level field: readers keep those they do not know. Raised only when a meaning changes."""


@frozen
class RecordedDevice:
    """One allocated device of ours."""

    request: str
    pool: str
    device: str
    share_id: str = ""


@frozen
class PodRef:
    """A pod that holds the claim."""

    name: str
    uid: str


@frozen
class ClaimRecord:
    """The write-ahead record of one claim.

    `kind` is "channel" or "daemon", `mode` "Single" or "All". `released` is a latch: the worker was let go once, so a
    peer's later failure takes nothing away. `leaving`: the kubelet has let the claim go; what is left is ours to clean.
    `made`: channels whose device node was absent when the claim was recorded, so that it goes with the claim.
    `extra` holds fields of other versions of nvdra, kept as they came. `stale_boot` is not stored: the record was made
    before the last boot, so what it stands for may be gone.
    """

    uid: str
    namespace: str
    name: str
    kind: str
    domain: str
    domain_name: str = ""
    clique: str = ""
    mode: str = "Single"
    devices: tuple[RecordedDevice, ...] = ()
    pods: tuple[PodRef, ...] = ()
    released: bool = False
    leaving: bool = False
    made: tuple[int, ...] = ()
    boot_id: str = ""
    version: int = RECORD_VERSION
    extra: dict[str, Any] = field(factory=dict)
    stale_boot: bool = False

    @property
    def path(self) -> str:
        """Its place in the store."""
        return self.uid

    def __str__(self) -> str:
        return f"claim {self.namespace}/{self.name}"
