"""HTTP in front of the store: starting, stopping, and the way of a request through faults and counters."""

import asyncio
import json
import logging
from types import TracebackType
from typing import Self

from aiohttp import web
from attrs import evolve

from nvdra.sim.apiserver import discovery, rest, routes
from nvdra.sim.apiserver.counters import Counters
from nvdra.sim.apiserver.exchange import Exchange, ExecProvider, LogProvider, Pods
from nvdra.sim.apiserver.faults import Call, Faults, Sort, refusal
from nvdra.sim.apiserver.status import StatusError, not_implemented
from nvdra.sim.apiserver.store import ObjectStore

_REFUSALS: tuple[Sort, ...] = ("conflict", "throttle", "forbidden", "error")
_log = logging.getLogger(__name__)
_MAX_BODY = 8 * 1024 * 1024
_BACKLOG = 4096
"""A thousand nodes connect at once; the kernel's own limit counts too."""


class ApiServer:
    """The API of one store. `async with ApiServer() as api: api.url`."""

    def __init__(self, store: ObjectStore | None = None, *, bookmark_seconds: float = 30.0) -> None:
        self.store = store or ObjectStore()
        self.faults = Faults()
        self.bookmark_seconds = bookmark_seconds
        self._pods = Pods()
        self._runner: web.AppRunner | None = None
        self._url = ""

    @property
    def counters(self) -> Counters:
        """What was asked so far, over HTTP and in process."""
        return self.store.counters

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._url, "the API server was not started"
        return self._url

    def set_log_provider(self, logs: LogProvider) -> None:
        """Who knows the pods' logs: `logs(namespace, pod, container, previous, follow)` yields chunks."""
        self._pods = evolve(self._pods, logs=logs)

    def set_exec_provider(self, execute: ExecProvider) -> None:
        """Who can run a command in a pod: `execute(namespace, pod, container, argv, say)` gives its exit code."""
        self._pods = evolve(self._pods, execute=execute)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Begin to listen; port 0 takes a free one."""
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=_BACKLOG).start()
        self._url = f"http://{host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End all watches and stop listening."""
        for watcher in self.store.hub.everybody():
            watcher.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.stop()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            route = routes.parse(request.path)
            if route is None:
                return discovery.answer(self.store, request)
            verb = routes.verb(request.method, route, request.query)
        except StatusError as error:
            return rest.refused(error)
        exchange = Exchange(self.store, self.faults, request, route, verb, self._pods, self.bookmark_seconds)
        return await self._served(exchange)

    async def _served(self, exchange: Exchange) -> web.StreamResponse:
        try:
            await self._suffer(exchange)
            response = await rest.answer(exchange)
            self._lose(exchange, "lose-after")
        except ConnectionResetError:
            if exchange.request.transport is not None:
                exchange.request.transport.abort()
            exchange.count(0)
            return web.Response(status=500)
        except StatusError as error:
            response = rest.refused(error)
        except Exception:  # noqa: BLE001 - the edge: a client gets an answer whatever happens
            _log.exception("%s %s", exchange.request.method, exchange.request.path_qs)
            response = rest.refused(
                StatusError(500, "InternalError", "Internal error occurred; the server's log says more")
            )
        if exchange.verb != "watch" or response.status >= 400:
            exchange.count(response.status)  # a watch counts itself when it begins
        return response

    def _lose(self, exchange: Exchange, sort: Sort) -> None:
        if self.faults.struck(exchange.call, (sort,)):
            raise ConnectionResetError

    async def _suffer(self, exchange: Exchange) -> None:
        call: Call = exchange.call
        if rule := self.faults.struck(call, ("delay", "silence")):
            await asyncio.sleep(rule.seconds)
            if rule.sort == "silence":
                raise ConnectionResetError
        self._lose(exchange, "lose-before")
        if rule := self.faults.struck(call, _REFUSALS):
            raise refusal(rule, call)
        if exchange.route.subresource in ("attach", "portforward", "proxy"):
            raise not_implemented(exchange.route.subresource)


def kubeconfig(url: str) -> str:
    """A kubeconfig for kubectl and the official clients; in JSON, which costs its readers the least."""
    name = "nvdra-sim"
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": url}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
            "users": [{"name": name, "user": {"token": "any-token-is-welcome"}}],
        },
        indent=2,
    )
