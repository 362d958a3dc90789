"""Sending calls to the API server: signed, rationed, counted, and sent again when they were turned away at the door."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

from attrs import define, field

from nvdra.adapters.http.client import Headers, HttpClient, Limits, Response, Stream
from nvdra.adapters.http.connection import Unreachable
from nvdra.adapters.kube.answers import Call, Failure, failure_of, patience
from nvdra.adapters.kube.config import Access
from nvdra.adapters.kube.rate import Bucket

Observe = Callable[[str, str, int, float], None]
"""Told of every answer: verb, resource, status code (0: no answer), seconds."""
ATTEMPTS = 4
MAX_WAIT = 10.0
"""Seconds that one call waits in all for a server that turns it away; then the engine's own back-off takes over."""


def unobserved(verb: str, resource: str, code: int, seconds: float) -> None:
    """Nobody counts."""


@define(eq=False)
class Requests:
    """The way to one API server."""

    access: Access
    agent: str
    bucket: Bucket
    observe: Observe = unobserved
    timeout: float = 30.0
    idle: float = 120.0
    clock: Callable[[], float] = time.monotonic
    rng: random.Random = field(factory=random.Random)
    limits: Limits = field(factory=Limits)
    http: HttpClient = field(init=False)

    def __attrs_post_init__(self) -> None:
        """One HTTP client for all calls."""
        self.http = HttpClient(self.access.endpoint, self.limits, clock=self.clock)

    @property
    def server(self) -> str:
        """For error texts."""
        return self.access.endpoint.url

    async def send(self, call: Call) -> bytes:
        """The body of a success; anything else is raised."""
        waited, refused = 0.0, False
        for attempt in range(ATTEMPTS):
            answer = await self._answer(call, fresh=refused)
            if answer.status < HTTPStatus.MULTIPLE_CHOICES:
                return answer.body
            failure = failure_of(answer.status, answer.head.headers, answer.body)
            wait = self._again(failure, attempt, refused)
            if wait is None or waited + wait > MAX_WAIT:
                break
            refused = refused or failure.code == HTTPStatus.UNAUTHORIZED
            waited += wait
            await asyncio.sleep(wait)
        raise failure.error(call, self.server)

    @contextlib.asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[Stream]:
        """An answer that goes on; raised when its status is no success."""
        await self.bucket.take()
        started = self.clock()
        async with contextlib.AsyncExitStack() as stack:
            try:
                opening = self.http.stream(
                    call.method,
                    call.target,
                    await self._headers(call, fresh=False),
                    timeout=self.timeout,
                    idle=self.idle,
                )
                stream = await stack.enter_async_context(opening)
            except Unreachable:
                self._count(call, 0, started)
                raise
            self._count(call, stream.head.status, started)
            if stream.head.status >= HTTPStatus.MULTIPLE_CHOICES:
                await self._raise(call, stream)
            yield stream

    async def close(self) -> None:
        """Break off what is under way."""
        await self.http.close()

    async def _answer(self, call: Call, *, fresh: bool) -> Response:
        await self.bucket.take()
        headers = await self._headers(call, fresh=fresh)
        started = self.clock()
        try:
            answer = await self.http.request(call.method, call.target, headers, call.body, timeout=self.timeout)
        except Unreachable:
            self._count(call, 0, started)
            raise
        self._count(call, answer.status, started)
        return answer

    async def _raise(self, call: Call, stream: Stream) -> None:
        if stream.head.status == HTTPStatus.UNAUTHORIZED:
            await self.access.credentials.header(fresh=True)
        body = b""
        with contextlib.suppress(TimeoutError, Unreachable):
            async with asyncio.timeout(self.timeout):
                body = await stream.body()
        raise failure_of(stream.head.status, stream.head.headers, body).error(call, self.server)

    async def _headers(self, call: Call, *, fresh: bool) -> Headers:
        headers = [("Accept", "application/json"), ("User-Agent", self.agent)]
        if authorization := await self.access.credentials.header(fresh=fresh):
            headers.append(("Authorization", authorization))
        if call.body:
            headers.append(("Content-Type", call.content_type))
        return headers

    def _again(self, failure: Failure, attempt: int, refused: bool) -> float | None:
        """A refused token is read anew, once; a busy server is given the time that it asked for."""
        if failure.code == HTTPStatus.UNAUTHORIZED:
            return None if refused else 0.0
        return patience(failure, attempt, self.rng)

    def _count(self, call: Call, code: int, started: float) -> None:
        self.observe(call.verb, call.resource, code, self.clock() - started)
