"""Telling people: Kubernetes Events, folded, rationed, and never in the way. Nothing acts on them."""

import asyncio
import logging
import random
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from attrs import define, field, frozen

from nvdra.adapters.kube.rate import Bucket
from nvdra.adapters.looptime import a_generator, loop_time
from nvdra.api.kinds import EVENTS
from nvdra.errors import ApiError, NotFound, NvdraError
from nvdra.ports import Cluster, Json, Subject

_log = logging.getLogger(__name__)

FOLD_SECONDS = 600.0
WAITING = 256
REMEMBERED = 1024
ATTEMPTS = 3
_HOPELESS = frozenset({400, 401, 403, 404, 405, 413, 415, 422})
_MAX_MESSAGE = 1024
_MAX_NAME = 253 - 17


_COUNTED = re.compile(
    r"(?<![^\s(])\d+(?:\.\d+)?(?: ?(?:ms|s|min|h|d)\b|(?= (?:times?|of \d+|more|nodes?|peers?|tries|attempts?)\b))"
    r"|(?<= of )\d+\b"
)


def sameness(message: str) -> str:
    """What makes a message another one: all of it but how often, how long and how many, which are the news of the same.

    Numbers in names, addresses, ports, signals and exit codes stay: another one is another cause.
    """
    return _COUNTED.sub("#", message)


@frozen
class _Note:
    """What is told; equal notes are folded, and the Event shows the newest message."""

    about: Subject
    reason: str
    message: str = field(eq=False)
    warning: bool
    same: str = field(init=False)

    @same.default
    def _same(self) -> str:
        return sameness(self.message)

    @property
    def namespace(self) -> str:
        """Events on objects without a namespace live in `default`, where kubectl describe looks for them."""
        return self.about.namespace or "default"


@define
class _Told:
    """An Event that is out there."""

    name: str
    count: int
    at: float


@define(eq=False)
class EventAnnouncer:
    """`ports.Announcer`: tell() only notes it down; run() writes. What comes too fast is dropped, oldest first."""

    cluster: Cluster
    component: str
    host: str = ""
    qps: float = field(default=5.0, kw_only=True)
    burst: int = field(default=50, kw_only=True)
    wall: Callable[[], float] = field(default=time.time, kw_only=True)
    clock: Callable[[], float] = field(default=loop_time, kw_only=True)
    rng: random.Random = field(factory=a_generator, kw_only=True)
    dropped: int = field(default=0, init=False)
    _waiting: OrderedDict[_Note, tuple[_Note, int]] = field(factory=OrderedDict, init=False)
    _told: OrderedDict[_Note, _Told] = field(factory=OrderedDict, init=False)
    _wake: asyncio.Event = field(factory=asyncio.Event, init=False)
    _idle: asyncio.Event = field(factory=asyncio.Event, init=False)
    _bucket: Bucket = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Nothing waits yet."""
        self._bucket = Bucket(self.qps, self.burst, self.clock)
        self._idle.set()

    def tell(self, about: Subject, reason: str, message: str, *, warning: bool = False) -> None:
        """Note it down; an equal one that still waits is counted."""
        text = message[:_MAX_MESSAGE].encode(errors="backslashreplace").decode()  # it may hold a file's name
        note = _Note(about, reason, text, warning)
        _, times = self._waiting.get(note, (note, 0))
        self._waiting[note] = (note, times + 1)
        if len(self._waiting) > WAITING:
            self._waiting.popitem(last=False)
            self.dropped += 1
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Write what waits, for ever; ends when cancelled."""
        while True:
            await self._wake.wait()
            while self._waiting:
                _, (note, times) = self._waiting.popitem(last=False)
                await self._write(note, times)
            self._wake.clear()
            self._idle.set()

    async def flush(self, seconds: float) -> None:
        """Before the end: give what waits a little time. run() must be running."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("%d Events were not written in time", len(self._waiting))

    async def _write(self, note: _Note, times: int) -> None:
        """A few tries; an Event is not worth more."""
        for attempt in range(ATTEMPTS):
            await self._bucket.take()
            try:
                await self._fold_or_create(note, times)
            except NvdraError as error:
                if attempt + 1 == ATTEMPTS or _hopeless(error):
                    self.dropped += 1
                    _log.warning(
                        "Event %s on %s %s not written: %s", note.reason, note.about.kind, note.about.name, error
                    )
                    return
                await asyncio.sleep(0.5 * 2**attempt * self.rng.uniform(0.5, 1.0))
            else:
                return

    async def _fold_or_create(self, note: _Note, times: int) -> None:
        told = self._told.get(note)
        if told is not None and self.clock() - told.at < FOLD_SECONDS:
            try:
                await self._count(note, told, times)
            except NotFound:  # it has expired, or somebody tidied up
                del self._told[note]
            else:
                return
        name = f"{note.about.name[:_MAX_NAME].rstrip('.-')}.{self.rng.getrandbits(64):016x}"
        await self.cluster.create(EVENTS, self._body(note, name, times), note.namespace)
        self._remember(note, _Told(name, times, self.clock()))

    async def _count(self, note: _Note, told: _Told, times: int) -> None:
        patch: Json = {"count": told.count + times, "lastTimestamp": self._now(), "message": note.message}
        await self.cluster.patch(EVENTS, told.name, patch, note.namespace)
        self._remember(note, _Told(told.name, told.count + times, self.clock()))

    def _remember(self, note: _Note, told: _Told) -> None:
        self._told[note] = told
        self._told.move_to_end(note)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    def _body(self, note: _Note, name: str, times: int) -> Json:
        now, about = self._now(), note.about
        involved = {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "name": about.name,
            "namespace": about.namespace,
            "uid": about.uid,
        }
        return {
            "metadata": {"name": name, "namespace": note.namespace},
            "involvedObject": {key: value for key, value in involved.items() if value},
            "reason": note.reason,
            "message": note.message,
            "type": "Warning" if note.warning else "Normal",
            "source": {"component": self.component} | ({"host": self.host} if self.host else {}),
            "reportingComponent": self.component,
            "reportingInstance": self.host or self.component,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": times,
        }

    def _now(self) -> str:
        return datetime.fromtimestamp(self.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _hopeless(error: NvdraError) -> bool:
    """The namespace is being deleted, the Event is not allowed or not valid: it will be so again."""
    return isinstance(error, ApiError) and error.code in _HOPELESS
