"""Where the kubelet's calls come in: a call becomes a fact in the store, and the answer is read from where that leads.

A call is held for a few seconds at most; then it is answered with what it waits for. The work goes on without it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import attrs
from attrs import define, field, frozen

from nvdra.adapters.cdi import qualified
from nvdra.adapters.kubelet.plugin import ClaimRef, Failure, Prepared, PreparedDevice
from nvdra.api import names
from nvdra.api.device_config import Request, request_of
from nvdra.api.kind import Kind
from nvdra.api.local import CALLS, CLAIM_CDI_KIND, DISK_SPECS, RECORDS, Call
from nvdra.api.records import ClaimRecord, PodRef
from nvdra.api.resources import ResourceClaim
from nvdra.domains.channel_claim.things import Waker
from nvdra.domains.channel_claim.voice import Memory
from nvdra.engine.domain import Told
from nvdra.engine.engine import Engine
from nvdra.engine.queue import Key
from nvdra.errors import ConfigError, NotFound, NvdraError, Refused
from nvdra.ports import Cluster

T = TypeVar("T")

HELD_WHEN_MUTE = 40.0
"""Where we may not touch pods, a call is held as long as the kubelet's 45 s allow."""
UNPREPARE_LIMIT = 30.0
WANTED_AGAIN = "the kubelet has asked to prepare this claim again meanwhile"

Observe = Callable[[str, str, str, float], None]


@frozen
class GateSettings:
    """`hold`: seconds that a call may wait. `namespace`: the driver's own; daemon claims are refused elsewhere."""

    node_name: str
    namespace: str = names.DRIVER_NAMESPACE
    hold: float = 5.0


def _unobserved(_driver: str, _operation: str, _outcome: str, _seconds: float) -> None:
    """Count nothing."""


@define(eq=False)
class Gate:
    """`kubelet.plugin.Plugin` on top of the engine."""

    engine: Engine
    cluster: Cluster
    claims: Kind[ResourceClaim]
    settings: GateSettings
    memory: Memory
    waker: Waker
    joined: Callable[[str], None] = lambda _: None
    observe: Observe = _unobserved
    _calls: dict[str, int] = field(factory=dict)
    _refused: set[str] = field(factory=set)
    """Claims of which a call had no devices for an answer; of a shared one, nobody knows whose call that was."""

    async def prepare(self, claims: Sequence[ClaimRef]) -> Mapping[str, Prepared | Failure]:
        """Every claim at the same time: one that waits holds nobody else up."""
        return await _each(claims, lambda ref: self._timed("prepare", self._prepare, ref))

    async def unprepare(self, claims: Sequence[ClaimRef]) -> Mapping[str, Failure | None]:
        """Needs no API server: what must be done there later is remembered in the record."""
        return await _each(claims, lambda ref: self._timed("unprepare", self._unprepare, ref))

    async def _timed(self, operation: str, work: Callable[[ClaimRef], Awaitable[T]], ref: ClaimRef) -> T:
        began = self.engine.clock()
        answer = await work(ref)
        outcome = "failed" if isinstance(answer, Failure) else "done"
        self.observe(names.CD_DRIVER, operation, outcome, self.engine.clock() - began)
        return answer

    async def _prepare(self, ref: ClaimRef) -> Prepared | Failure:
        known = self._from_record(ref)
        if known is not None:
            return known
        try:
            call = await self._call(ref)
        except NvdraError as error:
            return Failure(str(error))
        return await self._wait(call)

    def _from_record(self, ref: ClaimRef) -> Prepared | None:
        """A claim that is prepared and was fetched before is answered from its record, without the API server."""
        record = self.engine.store.get(RECORDS, ref.uid)
        told = self.engine.told(_key("channel" if record is None else record.kind, ref.uid))
        if record is None or record.leaving or told is None or told.word != "Prepared":
            return None
        call = self.engine.store.get(CALLS, ref.uid)
        if call is None or not call.fetched:
            self._put(_call_of(record))
        return self._prepared(record)

    async def _call(self, ref: ClaimRef) -> Call:
        """Read the claim live, and what it asks of us. Raises when it cannot be ours."""
        try:
            claim = await self.cluster.get(self.claims, ref.name, ref.namespace)
        except NotFound as error:
            raise ConfigError(f"ResourceClaim {ref.namespace}/{ref.name} is gone") from error
        if claim.metadata.uid != ref.uid:
            raise ConfigError(f"ResourceClaim {ref} was replaced: it has uid {claim.metadata.uid} now")
        request = request_of(claim)
        self._admit(claim, request)
        return Call(
            uid=ref.uid,
            namespace=ref.namespace,
            name=ref.name,
            kind=request.kind,
            domain=request.domain,
            domain_name=claim.metadata.annotations.get(names.NAME_ANNOTATION, ""),
            mode=request.mode,
            devices=request.devices,
            pods=tuple(PodRef(user.name, user.uid) for user in claim.status.reservedFor if user.resource == "pods"),
        )

    def _admit(self, claim: ResourceClaim, request: Request) -> None:
        if request.kind == "daemon" and claim.metadata.namespace != self.settings.namespace:
            raise ConfigError(
                f"ResourceClaim {claim.metadata.path} asks for an IMEX daemon's device: only pods of namespace"
                f" {self.settings.namespace} may have one"
            )
        foreign = [r for r in request.devices if r.pool != self.settings.node_name]
        if foreign:
            raise ConfigError(
                f"ResourceClaim {claim.metadata.path} has device {foreign[0].device} of {foreign[0].pool}"
            )

    async def _wait(self, call: Call) -> Prepared | Failure:
        key = _key(call.kind, call.uid)
        calling = self._calls[call.uid] = self._calls.get(call.uid, 0) + 1
        self._put(attrs.evolve(call, calling=calling))
        if call.kind == "channel":
            self.joined(call.uid)
        hold = self.settings.hold if self.waker.allowed(self.engine.clock()) else HELD_WHEN_MUTE
        word = None
        try:
            word = await self.engine.until(key, _answerable, hold)
        finally:  # also when the kubelet hangs up: then nobody has fetched anything
            self._leave(call, prepared=word == "Prepared")
        record = self.engine.store.get(RECORDS, call.uid)
        if word == "Prepared" and record is not None:
            return self._prepared(record)
        text = self._why(key)
        self.memory.answered(call.uid, text, self.engine.clock())
        return Failure(text)

    def _why(self, key: Key) -> str:
        told = self.engine.told(key)
        if told is None:
            cell = self.engine.cells.get(key)
            return (cell.not_yet if cell else "") or "not looked at yet"
        return told.explanation

    def _leave(self, call: Call, *, prepared: bool) -> None:
        """A pod that shares a claim may have been refused before another one's call was answered: both are woken."""
        if not prepared:
            self._refused.add(call.uid)
        fetched = prepared and not (len(call.pods) > 1 and call.uid in self._refused)
        calling = self._calls.pop(call.uid, 1) - 1
        if calling:
            self._calls[call.uid] = calling
        now = self.engine.store.get(CALLS, call.uid)
        if now is None:
            return
        after = attrs.evolve(now, calling=calling, fetched=now.fetched or fetched)
        self._put(after)
        self._forget(after)

    async def _unprepare(self, ref: ClaimRef) -> Failure | None:
        self._refused.discard(ref.uid)
        store = self.engine.store
        record, disk, call = store.get(RECORDS, ref.uid), store.get(DISK_SPECS, ref.uid), store.get(CALLS, ref.uid)
        if record is None and disk is None and call is None:
            return None
        kind = record.kind if record else call.kind if call else "channel"
        let_go = attrs.evolve(call or Call(ref.uid, ref.namespace, ref.name, kind), wanted=False, fetched=False)
        self._put(let_go)
        word = None
        if not self._hidden(ref.uid):
            word = await self.engine.until(_key(kind, ref.uid), lambda told: self._left(told, ref.uid), UNPREPARE_LIMIT)
            if word is None:
                return Failure(self._why(_key(kind, ref.uid)))
        self._forget(let_go)
        return Failure(WANTED_AGAIN) if word == WANTED_AGAIN else None

    def _left(self, told: Told, uid: str) -> str | None:
        """Released; or a Prepare came meanwhile, and then waiting longer would not help.

        The store is asked too: it knows that nothing is exposed before the node is given back, which needs the API.
        """
        call = self.engine.store.get(CALLS, uid)
        if call is not None and call.wanted:
            return WANTED_AGAIN
        return "Released" if self._hidden(uid) else _let_go(told)

    def _hidden(self, uid: str) -> bool:
        """Nothing of it is exposed, and what is left of it is on its way out."""
        record = self.engine.store.get(RECORDS, uid)
        return self.engine.store.get(DISK_SPECS, uid) is None and (record is None or record.leaving)

    def _forget(self, call: Call) -> None:
        """A call that nobody waits for, of a claim that is let go and has no record, says nothing any more."""
        now = self.engine.store.get(CALLS, call.uid)
        if now is None or now.wanted or call.uid in self._calls or self.engine.store.get(RECORDS, call.uid) is not None:
            return
        self.engine.store.drop(CALLS, now)

    def _put(self, call: Call) -> None:
        self.engine.store.put(CALLS, call)

    def _prepared(self, record: ClaimRecord) -> Prepared:
        """The same devices and CDI ids at every call, from the record and the file on disk."""
        disk = self.engine.store.get(DISK_SPECS, record.uid)
        ids = tuple(qualified(CLAIM_CDI_KIND, name) for name in disk.spec.devices) if disk else ()
        devices = tuple(
            PreparedDevice((d.request.partition("/")[0],), d.pool, d.device, ids, d.share_id) for d in record.devices
        )
        return Prepared(devices)


async def _each(claims: Sequence[ClaimRef], answered: Callable[[ClaimRef], Awaitable[T]]) -> dict[str, T]:
    """All side by side; a single one, which is the rule, without tasks: its answer goes out some turns earlier."""
    if len(claims) == 1:
        return {claims[0].uid: await answered(claims[0])}
    answers = await asyncio.gather(*map(answered, claims))
    return {ref.uid: answer for ref, answer in zip(claims, answers, strict=True)}


def _key(kind: str, uid: str) -> Key:
    return Key(f"{kind}-claim", uid)


def _call_of(record: ClaimRecord) -> Call:
    return Call(
        uid=record.uid,
        namespace=record.namespace,
        name=record.name,
        kind=record.kind,
        domain=record.domain,
        domain_name=record.domain_name,
        mode=record.mode,
        devices=record.devices,
        pods=record.pods,
        fetched=True,
    )


def _answerable(told: Told) -> str | None:
    """Prepared, or refused: then waiting longer would not help."""
    if told.word == "Prepared":
        return told.word
    wanted = told.holds("wanted")
    refused = any(isinstance(error, Refused) for error in told.troubles.values())
    return "Refused" if wanted and refused else None


def _let_go(told: Told) -> str | None:
    """Nothing of it is exposed any more; giving the node back may go on behind the kubelet's back."""
    if told.holds("wanted"):
        return None
    return "Released" if told.word == "Released" or told.leaf.final else None
