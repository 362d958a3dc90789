"""What the kubelet's calls mean, without gRPC: claims in, devices or a reason out."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import frozen


@frozen
class ClaimRef:
    """A claim as the kubelet names it."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} (uid {self.uid})"


@frozen
class PreparedDevice:
    """One device of a prepared claim. `requests` empty: it serves all requests of the claim."""

    requests: tuple[str, ...]
    pool: str
    device: str
    cdi_ids: tuple[str, ...] = ()
    share_id: str = ""


@frozen
class Prepared:
    """A claim is prepared; no devices means that nothing is needed in the container."""

    devices: tuple[PreparedDevice, ...] = ()


@frozen
class Failure:
    """Why a claim could not be prepared or released; the kubelet shows the text on the pod."""

    text: str


@frozen
class RegistrationStatus:
    """What the kubelet last said about our registration."""

    registered: bool
    error: str = ""


class Door(Protocol):
    """Where the kubelet's calls come in."""

    @property
    def registered(self) -> RegistrationStatus | None:
        """What the kubelet said last; None before it said anything."""
        ...

    @property
    def told(self) -> asyncio.Event:
        """Set each time that the kubelet says something of it, the same or something new."""
        ...

    async def alone(self) -> None:
        """Raise ConfigError while another plugin of the driver serves this node: its disk is not ours to look after."""
        ...

    async def start(self) -> None:
        """Serve, or raise ConfigError with nothing left behind."""
        ...

    async def stop(self) -> None:
        """Serve no more."""
        ...


class Plugin(Protocol):
    """Answers the kubelet, a claim at a time or many. A call may be cancelled while it waits: work must outlive it."""

    async def prepare(self, claims: Sequence[ClaimRef]) -> Mapping[str, Prepared | Failure]:
        """Prepare these claims (each uid once); answers by uid."""
        ...

    async def unprepare(self, claims: Sequence[ClaimRef]) -> Mapping[str, Failure | None]:
        """Release these claims (each uid once); None is success. Unknown claims are a success."""
        ...
