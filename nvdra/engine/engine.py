"""The straight line: key → snapshot → facts → settle → orders → report. Levels act, edges only announce."""

import asyncio
import logging
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from attrs import define, field

from nvdra.core.findings import Finding, holding
from nvdra.core.machine import Step
from nvdra.core.waits import waits_for
from nvdra.engine.domain import Domain, Told
from nvdra.engine.queue import Key, Queue
from nvdra.engine.recorder import Recorder
from nvdra.engine.store import Store
from nvdra.errors import Again, Forbidden, Later, NotYet, NvdraError, Refused
from nvdra.ports import Clock

T = TypeVar("T")
log = logging.getLogger("nvdra.engine")

FIRST_BACKOFF = 0.25
REFUSED_AGAIN = 30.0
"""A restored permission or a removed obstacle sends no event."""
NOT_YET_AGAIN = 5.0
SPREAD = 0.25
"""Ten thousand keys that were first seen in the same second come back over a quarter of the time, not all at once."""


@define
class Cell:
    """The engine's memory of one key. Nothing in it is needed to be right: a restart starts with none."""

    state: str | None = None
    since: float = 0.0
    failures: int = 0
    said: set[str] = field(factory=set)
    refused: dict[str, str] = field(factory=dict)
    told: Told | None = None
    not_yet: str = ""
    title: str = ""
    counted: bool = False
    """The recorder knows it: what had ended when it was first seen is no news, and is counted nowhere."""


def _place(key: Key) -> float:
    """From 0 to 1, always the same for a key."""
    return zlib.crc32(key.id.encode()) / 2**32


@define(eq=False)
class _Waiter:
    """Somebody who waits for an outcome that answers a question."""

    test: Callable[[Told], Any]
    answer: asyncio.Future[Any]

    def tell(self, told: Told) -> None:
        found = self.test(told)
        if found is not None and not self.answer.done():
            self.answer.set_result(found)


@define(eq=False)
class Engine:
    """Runs any number of domains over one store and one queue."""

    clock: Clock
    recorder: Recorder = field(factory=Recorder)
    queue: Queue = field(init=False)
    store: Store = field(init=False)
    domains: dict[str, Domain[Any]] = field(factory=dict)
    cells: dict[Key, Cell] = field(factory=dict)
    _waiters: dict[Key, list["_Waiter"]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.queue = Queue(self.clock)
        self.store = Store(self.queue.add)

    def add(self, domain: Domain[Any]) -> None:
        """Serve a domain."""
        self.domains[domain.name] = domain

    async def run(self, workers: int = 4) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            rest = 0.0
            try:
                rest = await self.reconcile(key)
            except Exception:  # the loop outlives every defect of a handler
                log.exception("%s: a defect of ours", key, extra={"kind": key.kind, "key": key.id})
                self._back_off(key, self.cells.setdefault(key, Cell()))
            finally:
                self.queue.done(key, rest)

    async def reconcile(self, key: Key) -> float:
        """One look at one key; the seconds that it may be left alone."""
        domain, cell = self.domains[key.kind], self.cells.setdefault(key, Cell())
        try:
            seen = domain.observe(self.store, key, self.clock())
        except NotYet as wait:
            cell.not_yet = str(wait)
            self.store.impatient.add(key)
            self.queue.add_at(key, self.clock() + NOT_YET_AGAIN)
            return 0.0
        findings = domain.facts.findings(seen)
        step = domain.interpreter.settle(cell.state, holding(findings))
        self._note(domain, key, cell, seen, step)
        told = await self._carry_out(domain, key, cell, seen, step, findings)
        self._finish(domain, key, cell, told)
        if any(waiter.answer.done() for waiter in self._waiters.get(key, ())):
            # the next look may be at hand: without a turn of the loop an answer would wait until all work is done
            await asyncio.sleep(0)  # noqa: TID251  # no time passes
        return domain.rest(seen)

    async def until(self, key: Key, test: Callable[[Told], T | None], limit: float) -> T | None:
        """Wait until `test` of the key's last outcome gives something; None after `limit` seconds."""
        told = self.told(key)
        answer = test(told) if told else None
        if answer is not None:
            return answer
        waiter = _Waiter(test, asyncio.get_running_loop().create_future())
        self._waiters.setdefault(key, []).append(waiter)
        try:
            async with asyncio.timeout(limit):
                return cast("T", await waiter.answer)
        except TimeoutError:
            return None
        finally:
            self._waiters[key].remove(waiter)
            if not self._waiters[key]:
                del self._waiters[key]

    def told(self, key: Key) -> Told | None:
        """The last outcome of a key, or None."""
        cell = self.cells.get(key)
        return cell.told if cell else None

    def _note(self, domain: Domain[Any], key: Key, cell: Cell, seen: Any, step: Step) -> None:
        """Edges announce; at first sight nothing is announced, since a restart sees everything for the first time."""
        now, leaf = self.clock(), step.leaf
        cell.not_yet = ""
        if leaf.name != cell.state:
            cell.title = domain.title(seen) or cell.title
            if cell.counted or not leaf.final:
                self.recorder.stepped(key, cell.state if cell.counted else None, step, now - cell.since, cell.title)
                cell.counted = True
            if cell.state is not None and leaf.announce:
                domain.announce(seen, leaf.announce, leaf.about)
            cell.state, cell.since = leaf.name, now
            cell.said.clear()
        for seconds, reason in leaf.after.items():
            due = cell.since + seconds  # compared as it is queued: now - since may round to less, for ever
            if now < due:
                self.queue.add_at(key, due)
            elif reason not in cell.said:
                cell.said.add(reason)
                waits = cell.told.waiting_for if cell.told else ""
                domain.announce(seen, reason, f"still {leaf.name} after {seconds:.0f} s: {waits or leaf.about}")

    async def _carry_out(
        self, domain: Domain[Any], key: Key, cell: Cell, seen: Any, step: Step, findings: Mapping[str, Finding]
    ) -> Told:
        """Every standing order, whatever becomes of the others; then the report, always."""
        troubles: dict[str, NvdraError] = {}
        for order in step.leaf.orders:
            thing = domain.things[order.thing]
            act = thing.present if order.verb == "present" else thing.absent
            await self._try(key, order.thing, act(seen), troubles)
            self.recorder.acted(key, step.leaf.name, order.thing)
        told = Told(key, step.leaf, findings, waits_for(step.leaf, findings), dict(troubles), cell.since)
        await self._try(key, "report", domain.reporter.report(seen, told), troubles)
        self._announce_refusals(domain, cell, seen, troubles)
        return Told(key, step.leaf, findings, told.waits, troubles, cell.since)

    async def _try(self, key: Key, thing: str, work: Any, troubles: dict[str, NvdraError]) -> None:
        try:
            await work
        except Later as later:
            self.queue.add_at(key, self.clock() + (later.after or 0.0))
        except Refused as refused:
            troubles[thing] = refused
        except (Again, NotYet) as again:
            troubles[thing] = again
        except Exception as error:
            log.exception("%s: %s: a defect of ours", key, thing, extra={"kind": key.kind, "key": key.id})
            self.recorder.failed(key, thing, "error", repr(error))
            troubles[thing] = NvdraError(f"{thing}: {error!r}")

    def _announce_refusals(
        self, domain: Domain[Any], cell: Cell, seen: Any, troubles: Mapping[str, NvdraError]
    ) -> None:
        found = {thing: error for thing, error in troubles.items() if isinstance(error, Refused | Forbidden)}
        refused = {thing: str(error) for thing, error in found.items()}
        for thing, error in found.items():
            if cell.refused.get(thing) != refused[thing]:
                domain.announce(seen, error.reason or "Forbidden", refused[thing])
        cell.refused = refused

    def _finish(self, domain: Domain[Any], key: Key, cell: Cell, told: Told) -> None:
        now = self.clock()
        for thing, error in told.troubles.items():
            self._log_trouble(key, cell, thing, error)
        cell.told = told
        errors = tuple(told.troubles.values())
        failing = [e for e in errors if not isinstance(e, Refused) and getattr(e, "after", None) is None]
        delays = [e.after for e in errors if isinstance(e, Again) and e.after is not None]
        if failing:
            self._back_off(key, cell)
        else:
            cell.failures = 0
        if any(isinstance(e, Refused) for e in errors):
            delays.append(REFUSED_AGAIN)
        for delay in delays:
            self.queue.add_at(key, now + delay)
        if told.leaf.final and not errors:
            if cell.counted:
                self.recorder.forgot(key, told.leaf.name, now - cell.since)
            del self.cells[key]
        elif not errors:
            self.queue.add_at(key, now + domain.resync * (1 - SPREAD * _place(key)))
        for waiter in self._waiters.get(key, ()):
            waiter.tell(told)

    def _log_trouble(self, key: Key, cell: Cell, thing: str, error: NvdraError) -> None:
        before = cell.told.troubles.get(thing) if cell.told else None
        known = before is not None and str(before) == str(error)
        if known or not isinstance(error, (Again, NotYet, Refused)):
            return  # no line when nothing changed; a defect has had its own
        kind = "refused" if isinstance(error, Refused) else "again"
        self.recorder.failed(key, thing, kind, str(error), cell.title)

    def _back_off(self, key: Key, cell: Cell) -> None:
        limit = self.domains[key.kind].backoff_limit
        delay = min(FIRST_BACKOFF * 2 ** min(cell.failures, 16), limit)
        cell.failures += 1
        self.queue.add_at(key, self.clock() + delay)
