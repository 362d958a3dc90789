"""The plugin's gRPC servers: first DRA, then registration (the kubelet calls as soon as it sees that), then health."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import grpc
from attrs import define, field
from grpc import aio

from nvdra.adapters.kubelet import wire
from nvdra.adapters.kubelet.health import HealthService
from nvdra.adapters.kubelet.plugin import Plugin, RegistrationStatus
from nvdra.adapters.kubelet.services import DraService, Registration
from nvdra.adapters.kubelet.sockets import WAY_OUT, SocketPaths, address_of, claim_path, refuse_company, remove
from nvdra.errors import ConfigError

FOLDER_MODE: Final = 0o750
STOP_GRACE: Final = 1.0
"""Seconds that calls in flight may still take; the kubelet tries again what is cut off."""


@define
class PluginServer:
    """Serves one Plugin to the kubelet of this node.

    `health_address` such as `0.0.0.0:51515` adds grpc.health.v1 there; empty for none, port 0 for any free one.
    """

    plugin: Plugin
    paths: SocketPaths
    health_address: str = ""
    health_port: int | None = None
    _registration: Registration = field(init=False)
    _running: list[tuple[aio.Server, Path | None]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._registration = Registration(driver=self.paths.driver, endpoint=str(self.paths.dra))

    @property
    def registered(self) -> RegistrationStatus | None:
        """What the kubelet said last; None before it said anything."""
        return self._registration.status

    @property
    def told(self) -> asyncio.Event:
        """Set each time that the kubelet says something of it."""
        return self._registration.told

    async def alone(self) -> None:
        """Return when nobody else serves on our sockets; nothing is changed."""
        await refuse_company(self.paths)

    async def start(self) -> None:
        """Serve, or raise ConfigError with nothing left behind."""
        self.paths.check()
        self._make_folders()
        # Both before either: a plugin that cannot register must not answer DRA calls beside the one that can.
        await claim_path(self.paths.registration, self.paths.driver)
        await claim_path(self.paths.dra, self.paths.driver)
        try:
            await self._listen(self.paths.dra, *self._dra_handlers())
            if self.health_address:
                await self._listen_health()
            await self._listen(self.paths.registration, self._registration.handlers())
        except BaseException:
            await self.stop(grace=0)
            raise

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """Registration first, so that the kubelet sends nothing new; both sockets are gone afterwards."""
        while self._running:
            server, path = self._running.pop()
            with suppress(TimeoutError):  # it has been seen to wait for ever when it is stopped while it starts
                async with asyncio.timeout(grace + STOP_GRACE):
                    await server.stop(grace)
            if path:
                remove(path)
        self._registration.status = None

    def _dra_handlers(self) -> Iterator[grpc.GenericRpcHandler]:
        return (DraService(service, self.plugin).handlers() for service in (wire.DRA_V1, wire.DRA_V1BETA1))

    def _make_folders(self) -> None:
        try:
            self.paths.registry.mkdir(parents=True, exist_ok=True)
            self.paths.folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        except OSError as error:
            raise ConfigError(f"cannot make the folder {error.filename}: {error.strerror}; {WAY_OUT}") from error

    async def _listen(self, path: Path, *handlers: grpc.GenericRpcHandler) -> None:
        server = aio.server()
        server.add_generic_rpc_handlers(handlers)
        try:
            server.add_insecure_port(address_of(path))
        except RuntimeError as error:
            await server.stop(0)
            raise ConfigError(f"cannot listen on {path}: {_reason(path.parent)}{error}") from error
        self._running.append((server, path))
        await server.start()

    async def _listen_health(self) -> None:
        server = aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((HealthService(self.paths.registration, self.paths.dra).handlers(),))
        try:
            self.health_port = server.add_insecure_port(self.health_address)
        except RuntimeError as error:
            await server.stop(0)
            raise ConfigError(f"health service cannot listen on {self.health_address}: {error}") from error
        self._running.append((server, None))
        await server.start()


def _reason(folder: Path) -> str:
    """What gRPC does not tell; the usual reason is the folder."""
    with suppress(OSError):
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"the folder {folder} is not writable; "
    return ""
