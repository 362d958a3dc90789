"""Start-up, liveness and readiness probes: HTTP and TCP really go to the pod's address, exec goes to the runtime."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from attrs import define, frozen

from nvdra.sim.kube.runtime.containers import Container, Runtime
from nvdra.sim.kube.shapes import Json

_MOST_BODY: Final = 10_240
Tell = Callable[[str, str], Awaitable[None]]
"""Reason and message of a Warning Event."""


@frozen
class Answer:
    """What one probe found."""

    good: bool
    said: str = ""


@frozen
class Target:
    """Whom to probe."""

    runtime: Runtime
    container: Container
    ip: str
    ports: dict[str, int]


async def probe(spec: Json, target: Target) -> Answer:
    """One probe with its time limit. Never raises."""
    limit = float(spec.get("timeoutSeconds") or 1)
    try:
        # not wait_for: up to Python 3.11 it swallows a cancellation that comes as the answer does
        async with asyncio.timeout(limit):
            return await _look(spec, target, limit)
    except TimeoutError:
        return Answer(good=False, said=f"probe timed out after {limit:g}s")
    except OSError as error:
        if not error.errno:
            return Answer(good=False, said=f"dial tcp {target.ip}: {error}")
        where = f"{target.ip}:{_asked_port(spec, target)}"
        return Answer(good=False, said=f"dial tcp {where}: connect: {os.strerror(error.errno).lower()}")


def _asked_port(spec: Json, target: Target) -> int:
    return _port((spec.get("httpGet") or spec.get("tcpSocket") or {}).get("port", 0), target)


async def _look(spec: Json, target: Target, limit: float) -> Answer:
    if "httpGet" in spec:
        return await _http(spec["httpGet"], target)
    if "tcpSocket" in spec:
        _, writer = await asyncio.open_connection(target.ip, _port(spec["tcpSocket"]["port"], target))
        writer.close()
        return Answer(good=True)
    if "exec" in spec:
        code, output = await target.runtime.execute(target.container, spec["exec"]["command"], limit)
        return Answer(code == 0, output)
    return Answer(
        good=False, said=f"probe of kind {', '.join(set(spec) & {'grpc'}) or 'none'} is not known to the rack"
    )


async def _http(get: Json, target: Target) -> Answer:
    if get.get("scheme", "HTTP") != "HTTP":
        return Answer(good=False, said="the rack's kubelet probes http only, not https")
    port = _port(get["port"], target)
    host = get.get("host") or target.ip
    reader, writer = await asyncio.open_connection(host, port)
    try:
        lines = [f"GET {get.get('path') or '/'} HTTP/1.1", f"Host: {host}:{port}", "User-Agent: kube-probe/1.36"]
        lines += ["Accept: */*", "Connection: close"]
        lines += [f"{h['name']}: {h['value']}" for h in get.get("httpHeaders") or ()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await writer.drain()
        status = (await reader.readline()).decode(errors="replace").split()
        if len(status) < 2 or not status[1].isdigit():
            return Answer(good=False, said=f"malformed HTTP response {' '.join(status)!r}")
        body = await _body(reader)
    finally:
        writer.close()
    code = int(status[1])
    return Answer(200 <= code < 400, f"HTTP probe failed with statuscode: {code}" + (f": {body}" if body else ""))


async def _body(reader: asyncio.StreamReader) -> str:
    while (await reader.readline()).strip():
        pass
    return (await reader.read(_MOST_BODY)).decode(errors="replace").strip()[:200]


def _port(port: int | str, target: Target) -> int:
    if isinstance(port, int) or port.isdigit():
        return int(port)
    if port not in target.ports:
        raise OSError(f"port {port!r} is not named in the container")
    return target.ports[port]


@define(eq=False)
class Prober:
    """All probes of one start of a container. `changed` is called whenever ready or started have changed."""

    spec: Json
    target: Target
    changed: Callable[[], None]
    tell: Tell

    async def run(self) -> str:
        """Probe until cancelled, or until the container has to be killed: which probe says so."""
        if not self.target.container.started_up and not await self._starts_up():
            return "startup"
        self._set(started=True)
        liveness, readiness = self.spec.get("livenessProbe"), self.spec.get("readinessProbe")
        if readiness is None:
            self._set(ready=True)
        tasks: list[asyncio.Future[Any]] = []
        if readiness is not None:
            tasks.append(asyncio.ensure_future(self._readiness(readiness)))
        if liveness is not None:
            tasks.append(asyncio.ensure_future(self._until_failed(liveness, "Liveness")))
        try:
            if liveness:
                await asyncio.wait(tasks[-1:])
                return "liveness"
            await asyncio.Event().wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return ""

    async def _starts_up(self) -> bool:
        startup = self.spec.get("startupProbe")
        return startup is None or await self._until_failed(startup, "Startup", until_good=True)

    async def _until_failed(self, spec: Json, kind: str, *, until_good: bool = False) -> bool:
        """True once good (if that is asked for), False once it has failed too often."""
        await self._delay(spec)
        failures = 0
        while True:
            answer = await probe(spec, self.target)
            if answer.good and until_good:
                return True
            failures = 0 if answer.good else failures + 1
            if not answer.good:
                await self.tell("Unhealthy", f"{kind} probe failed: {answer.said}")
            if failures >= int(spec.get("failureThreshold") or 3):
                return False
            await self._pause(spec)

    async def _readiness(self, spec: Json) -> None:
        await self._delay(spec)
        good = bad = 0
        while True:
            answer = await probe(spec, self.target)
            good, bad = (good + 1, 0) if answer.good else (0, bad + 1)
            if good >= int(spec.get("successThreshold") or 1):
                self._set(ready=True)
            if bad >= int(spec.get("failureThreshold") or 3):
                self._set(ready=False)
            if not answer.good:
                await self.tell("Unhealthy", f"Readiness probe failed: {answer.said}")
            await self._pause(spec)

    def _set(self, *, ready: bool | None = None, started: bool | None = None) -> None:
        container = self.target.container
        before = (container.ready, container.started_up)
        container.ready = container.ready if ready is None else ready
        container.started_up = container.started_up if started is None else started
        if before != (container.ready, container.started_up):
            self.changed()

    async def _delay(self, spec: Json) -> None:
        left = float(spec.get("initialDelaySeconds") or 0) - (time.monotonic() - self.target.container.started)
        await asyncio.sleep(max(0, left))

    async def _pause(self, spec: Json) -> None:
        await asyncio.sleep(float(spec.get("periodSeconds") or 10))
