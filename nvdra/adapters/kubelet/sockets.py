"""Where the two sockets are, and whether their paths are free: names, lengths, leftovers, another instance."""

import asyncio
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from attrs import frozen
from grpc import aio

from nvdra.adapters.kubelet import wire
from nvdra.errors import ConfigError

MAX_SOCKET_PATH: Final = 107
"""sun_path has 108 bytes with its NUL."""
PROBE_SECONDS: Final = 1.0
WAY_OUT: Final = "is the node's disk in order (dmesg), and the folder mounted for writing?"


@frozen
class SocketPaths:
    """The sockets of one driver, the same for all its plugins: two on one node would lose each other's claims."""

    driver: str
    plugins: Path
    registry: Path

    @property
    def folder(self) -> Path:
        """The driver's own folder."""
        return self.plugins / self.driver

    @property
    def dra(self) -> Path:
        """Where the DRA service listens."""
        return self.folder / "dra.sock"

    @property
    def registration(self) -> Path:
        """Where the kubelet finds us."""
        return self.registry / f"{self.driver}-reg.sock"

    def check(self) -> None:
        """Refuse paths that no socket can have."""
        for path, flag in (
            (self.dra, "--kubelet-plugins-directory-path"),
            (self.registration, "--kubelet-registrar-directory-path"),
        ):
            if _length(path) > MAX_SOCKET_PATH:
                raise ConfigError(
                    f"socket path {path} has {_length(path)} characters and the kernel allows {MAX_SOCKET_PATH}: "
                    f"shorten {flag} ({path.parent}) by {_length(path) - MAX_SOCKET_PATH} or more"
                )


def _length(path: Path) -> int:
    return len(os.fsencode(path))


def address_of(path: Path) -> str:
    """The path as gRPC wants it."""
    return "unix:" + quote(str(path))


async def refuse_company(paths: SocketPaths) -> None:
    """ConfigError when another plugin serves. A path that cannot be looked at is for those to tell who need it."""
    for path in (paths.registration, paths.dra):
        with suppress(OSError):
            if await _listening(path):
                raise ConfigError(await _occupant(path, paths.driver))


async def claim_path(path: Path, driver: str) -> None:
    """Make the path free to listen on: a leftover socket goes, anything alive or foreign stays and is named."""
    if not _socket_at(path):
        return
    if await _listening(path):
        raise ConfigError(await _occupant(path, driver))
    remove(path)


def remove(path: Path) -> None:
    """The socket's file is gone afterwards."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot remove the leftover socket {path}: {error.strerror}; {WAY_OUT}") from error


def _socket_at(path: Path) -> bool:
    """Whether a socket's file is there; any other file is an error."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(f"cannot look at {path}: {error.strerror}; {WAY_OUT}") from error
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} is not a socket and is in the way of ours: remove it")
    return True


async def _listening(path: Path) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_unix_connection(path), PROBE_SECONDS)
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except TimeoutError:
        return True  # somebody holds it and does not accept
    writer.close()
    await writer.wait_closed()
    return True


async def _occupant(path: Path, driver: str) -> str:
    """A sentence about who listens there."""
    async with aio.insecure_channel(address_of(path)) as channel:
        get_info = wire.method(channel, wire.REGISTRATION, "GetInfo")
        try:
            info = await get_info(wire.request(wire.REGISTRATION, "GetInfo"), timeout=PROBE_SECONDS)
        except aio.AioRpcError as error:
            return (
                f"another process listens on {path} and is not to be replaced ({error.code().name} to GetInfo): "
                f"two plugins for {driver} cannot run on one node; end the other"
            )
    return (
        f"another instance of {info.name} is serving on {path} (its DRA socket is {info.endpoint}): "
        "two plugins cannot run on one node; end the other"
    )
