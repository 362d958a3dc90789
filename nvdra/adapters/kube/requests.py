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
from nvdra.adapters.kube.answers import Call, Failure, failure_of
from nvdra.adapters.kube.config import Access
from nvdra.adapters.kube.rate import Bucket
from nvdra.adapters.kube.turns import MAX_WAIT, Turns

Observe = Callable[[str, str, int, float], None]
"""Told of every answer: verb, resource, status code (0: no answer), seconds."""
ATTEMPTS = 4
HEARTBEATS = ("leases",)
"""Behind other calls of its own process a leader would lose its lease: these go out at once, and are repeated there."""


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
    _turns: Turns = field(init=False)

    def __attrs_post_init__(self) -> None:
        """One HTTP client for all calls, and one memory of how busy the server is."""
        self._turns = Turns(self.clock, self.rng)
        self.http = HttpClient(self.access.endpoint, self.limits, clock=self.clock)

    @property
    def server(self) -> str:
        """For error texts."""
        return self.access.endpoint.url

    async def send(self, call: Call) -> bytes:
        """The body of a success; anything else is raised."""
        waited, refused = 0.0, False
        for _ in range(ATTEMPTS):
            async with self._turns.turn() if self._patient(call) else contextlib.nullcontext():
                answer = await self._answer(call, fresh=refused)
                if answer.status < HTTPStatus.MULTIPLE_CHOICES:
                    self._turns.let_in()
                    return answer.body
                failure = failure_of(answer.status, answer.head.headers, answer.body)
                waited += self._heard(failure)
            if failure.code == HTTPStatus.UNAUTHORIZED and not refused:
                refused = True  # the token is read anew, once
            elif failure.pause is None or waited > MAX_WAIT or not self._patient(call):
                break
        raise failure.error(call, self.server)

    @contextlib.asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[Stream]:
        """An answer that goes on; raised when its status is no success."""
        async with contextlib.AsyncExitStack() as stack:
            async with self._turns.turn():
                await self.bucket.take()
                stream = await self._opened(call, stack)
                if stream.head.status >= HTTPStatus.MULTIPLE_CHOICES:
                    await self._raise(call, stream)
                self._turns.let_in()
            yield stream

    async def _opened(self, call: Call, stack: contextlib.AsyncExitStack) -> Stream:
        started = self.clock()
        headers = await self._headers(call, fresh=False)
        try:
            opening = self.http.stream(call.method, call.target, headers, timeout=self.timeout, idle=self.idle)
            stream = await stack.enter_async_context(opening)
        except Unreachable:
            self._count(call, 0, started)
            raise
        self._count(call, stream.head.status, started)
        return stream

    async def close(self) -> None:
        """Break off what is under way."""
        await self.http.close()

    def _heard(self, failure: Failure) -> float:
        """Seconds that a busy server is left in peace."""
        if failure.pause is None:
            self._turns.let_in()
            return 0.0
        return self._turns.turned_away(failure.pause)

    def _patient(self, call: Call) -> bool:
        return call.resource not in HEARTBEATS

    async def _answer(self, call: Call, *, fresh: bool) -> Response:
        if self._patient(call):
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
        failure = failure_of(stream.head.status, stream.head.headers, body)
        self._heard(failure)
        raise failure.error(call, self.server)

    async def _headers(self, call: Call, *, fresh: bool) -> Headers:
        headers = [("Accept", "application/json"), ("User-Agent", self.agent)]
        if authorization := await self.access.credentials.header(fresh=fresh):
            headers.append(("Authorization", authorization))
        if call.body:
            headers.append(("Content-Type", call.content_type))
        return headers

    def _count(self, call: Call, code: int, started: float) -> None:
        self.observe(call.verb, call.resource, code, self.clock() - started)
