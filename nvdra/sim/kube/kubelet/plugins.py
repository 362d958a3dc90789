"""DRA plugins of one node: found by their registration sockets, connected to, and called (dra-protocol.md §1)."""

import asyncio
import contextlib
import logging
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import grpc
from attrs import define, field, frozen
from grpc import aio

from nvdra.adapters.kubelet import wire

_log = logging.getLogger(__name__)
_SERVICES: Final = {"v1.DRAPlugin": wire.DRA_V1, "v1beta1.DRAPlugin": wire.DRA_V1BETA1}
_FIRST_BACKOFF: Final = 0.5
_LAST_BACKOFF: Final = 122.0
CALL_LIMIT: Final = 45.0


class RegistrationError(Exception):
    """A plugin cannot be registered; the text goes back to it."""


class CallError(Exception):
    """A call to a plugin failed as a whole."""


@define(eq=False)
class Plugin:
    """One registered instance of a driver."""

    driver: str
    endpoint: str
    service: str
    channel: aio.Channel
    connected: bool = False
    closed: bool = False
    watch: "asyncio.Task[None] | None" = None

    async def call(self, method: str, claims: Sequence[Any]) -> Any:
        """NodePrepareResources or NodeUnprepareResources with the kubelet's time limit."""
        call = wire.method(self.channel, self.service, method)
        request = wire.request(self.service, method)
        for claim in claims:
            request.claims.add(namespace=claim.namespace, name=claim.name, uid=claim.uid)
        try:
            return await call(request, timeout=CALL_LIMIT)
        except aio.AioRpcError as error:
            raise CallError(_rpc_text(error)) from error
        except asyncio.CancelledError:
            if self.closed and not _asked_to_end():  # gRPC gives up calls of a closed channel in this way
                raise CallError("rpc error: code = Canceled desc = grpc: the client connection is closing") from None
            raise

    async def close(self) -> None:
        """Let go of the connection."""
        self.closed = True
        if self.watch is not None:
            self.watch.cancel()
        with contextlib.suppress(TimeoutError):  # calls that will not end are left behind
            async with asyncio.timeout(5):
                await self.channel.close()


@frozen
class _Info:
    driver: str
    endpoint: str
    service: str


@define(eq=False)
class _Socket:
    """One registration socket as seen in the folder."""

    inode: tuple[int, int]
    plugin: Plugin | None = None
    failures: int = 0
    next_try: float = 0


@define(eq=False)
class PluginRegistry:
    """Watches the registration folder. `changed(driver, usable)` tells when a driver gains or loses its last link."""

    folder: Path
    node_root: Path
    poll: float
    changed: Callable[[str, bool], None]
    _sockets: dict[Path, _Socket] = field(factory=dict, init=False)
    _plugins: list[Plugin] = field(factory=list, init=False)

    def find(self, driver: str) -> Plugin | None:
        """The newest connected instance of a driver, else the newest one."""
        mine = [plugin for plugin in self._plugins if plugin.driver == driver]
        return next((p for p in reversed(mine) if p.connected), mine[-1] if mine else None)

    async def run(self) -> None:
        """Look at the folder now and again until cancelled."""
        seen = 0
        try:
            while True:
                stamp = self._stamp()
                if stamp != seen or self._due():
                    await self._reconcile()
                seen = stamp if stamp == seen else 0 if self._fresh(stamp) else stamp
                await asyncio.sleep(self.poll)
        finally:
            for found in self._sockets.values():
                if found.plugin is not None:
                    await found.plugin.close()

    def _stamp(self) -> int:
        try:
            return self.folder.stat().st_mtime_ns
        except FileNotFoundError:
            self.folder.mkdir(parents=True)
            return self.folder.stat().st_mtime_ns

    def _fresh(self, stamp: int) -> bool:
        """The folder changed so lately that another change could have the same time stamp."""
        return time.time_ns() - stamp < 50_000_000

    def _due(self) -> bool:
        now = time.monotonic()
        return any(found.plugin is None and found.next_try <= now for found in self._sockets.values())

    async def _reconcile(self) -> None:
        there = _sockets_below(self.folder)
        for path, known in list(self._sockets.items()):
            if there.get(path) != known.inode:
                del self._sockets[path]
                await self._unregister(known)
        for path, inode in there.items():
            self._sockets.setdefault(path, _Socket(inode))
        due = [
            (path, found)
            for path, found in self._sockets.items()
            if found.plugin is None and found.next_try <= time.monotonic()
        ]
        await asyncio.gather(*(self._register(path, found) for path, found in due))

    async def _register(self, path: Path, found: _Socket) -> None:
        async with aio.insecure_channel(f"unix:{path}") as channel:
            try:
                found.plugin = await self._introduce(path, channel)
                await self._notify(channel, registered=True, error="")
            except RegistrationError as error:
                _log.warning("plugin at %s: %s", path, error)
                await self._notify_quietly(channel, f"RegisterPlugin error -- {error}")
            except aio.AioRpcError as error:
                _log.debug("plugin at %s: %s", path, _rpc_text(error))
            else:
                found.failures = 0
                return
        if found.plugin is not None:
            await self._unregister(found)
        found.next_try = time.monotonic() + min(_FIRST_BACKOFF * 2**found.failures, _LAST_BACKOFF)
        found.failures += 1

    async def _introduce(self, path: Path, channel: aio.Channel) -> Plugin:
        get_info = wire.method(channel, wire.REGISTRATION, "GetInfo")
        info = _checked(await get_info(wire.request(wire.REGISTRATION, "GetInfo"), timeout=1), path)
        endpoint = self._endpoint(info.endpoint)
        if any(p.driver == info.driver and p.endpoint == endpoint for p in self._plugins):
            raise RegistrationError(f"endpoint {endpoint} is already registered for driver {info.driver}")
        plugin = Plugin(info.driver, endpoint, info.service, aio.insecure_channel(f"unix:{endpoint}"))
        self._plugins.append(plugin)
        plugin.watch = asyncio.ensure_future(self._follow(plugin))
        return plugin

    def _endpoint(self, endpoint: str) -> str:
        below = self.node_root / endpoint.lstrip("/")
        return str(below) if not Path(endpoint).exists() and below.exists() else endpoint

    async def _notify(self, channel: aio.Channel, *, registered: bool, error: str) -> None:
        name = "NotifyRegistrationStatus"
        request = wire.request(wire.REGISTRATION, name, plugin_registered=registered, error=error)
        await wire.method(channel, wire.REGISTRATION, name)(request, timeout=5)

    async def _notify_quietly(self, channel: aio.Channel, error: str) -> None:
        try:
            await self._notify(channel, registered=False, error=error)
        except aio.AioRpcError as failed:
            _log.debug("a plugin answered its failed registration with %s", _rpc_text(failed))

    async def _unregister(self, found: _Socket) -> None:
        plugin, found.plugin = found.plugin, None
        if plugin is None:
            return
        self._plugins.remove(plugin)
        await plugin.close()
        self._tell(plugin.driver)

    async def _follow(self, plugin: Plugin) -> None:
        state = plugin.channel.get_state(try_to_connect=True)
        while True:
            connected = state is grpc.ChannelConnectivity.READY
            if connected != plugin.connected:
                plugin.connected = connected
                self._tell(plugin.driver)
            await plugin.channel.wait_for_state_change(state)
            state = plugin.channel.get_state(try_to_connect=True)

    def _tell(self, driver: str) -> None:
        self.changed(driver, any(p.connected for p in self._plugins if p.driver == driver))


def _sockets_below(folder: Path) -> dict[Path, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        if path.name.startswith("."):
            continue
        try:
            seen = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISSOCK(seen.st_mode):
            found[path] = (seen.st_ino, seen.st_ctime_ns)
    return found


def _checked(info: Any, path: Path) -> _Info:
    if info.type != "DRAPlugin":
        raise RegistrationError(f"plugin type {info.type!r} is not known here; the rack's kubelet serves DRAPlugin")
    if not info.name:
        raise RegistrationError("the plugin has no name")
    service = next((_SERVICES[v] for v in info.supported_versions if v in _SERVICES), None)
    if service is None:
        offered = ", ".join(info.supported_versions) or "none"
        raise RegistrationError(
            f"none of the plugin's services is supported: {offered}; supported: {', '.join(_SERVICES)}"
        )
    return _Info(info.name, info.endpoint or str(path), service)


def _asked_to_end() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _rpc_text(error: aio.AioRpcError) -> str:
    code = "".join(word.capitalize() for word in error.code().name.split("_"))
    said = "context deadline exceeded" if code == "DeadlineExceeded" else error.details()
    return f"rpc error: code = {code} desc = {said}"
