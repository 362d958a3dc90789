"""How fast the core settles, and what a resync of very many objects costs."""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence

from attrs import frozen

from nvdra.api.kind import Local
from nvdra.apps import statecharts
from nvdra.core.findings import Facts, Finding
from nvdra.core.machine import Interpreter
from nvdra.core.orders import Order
from nvdra.engine.domain import Domain
from nvdra.engine.engine import Engine
from nvdra.engine.queue import Key
from nvdra.engine.recorder import log
from nvdra.engine.store import Store
from tests.bench.table import Figure

NAME = "compute-domain"
READY = frozenset({"finalized", "templated", "daemonised", "formed", "all_ready"})


@frozen
class Thing:
    """An object of which all facts of `facts` hold."""

    path: str
    facts: frozenset[str]


THINGS = Local(Thing, "things")


class Done:
    """A handler that finds everything as it should be."""

    async def present(self, seen: Thing) -> None:
        """Nothing to do."""

    async def absent(self, seen: Thing) -> None:
        """Nothing to do."""


def figures(objects: int = 100_000) -> Sequence[Figure]:
    """Of the core alone, and of the whole engine around it."""
    interpreter = statecharts.interpreter(NAME)
    home = interpreter.settle(None, READY).leaf.name
    idle, cold = rate(lambda: interpreter.settle(home, READY)), rate(lambda: interpreter.settle(None, READY))
    first, again = asyncio.run(resync(interpreter, objects))
    return [
        Figure("settles a second, in its state already", f"{idle:,.0f}", "aim 250,000"),
        Figure("settles a second, from the beginning", f"{cold:,.0f}"),
        Figure(f"first look at {objects:,} objects", f"{first:.1f} s"),
        Figure(
            f"resync of {objects:,} objects (snapshot, facts, orders, report)",
            f"{again:.1f} s",
            f"{objects / idle:.1f} s (settles alone)",
        ),
    ]


def rate(act: Callable[[], object], number: int = 50_000) -> float:
    """Times a second, the median of five runs by CPU time."""
    runs = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(number):
            act()
        runs.append(number / (time.process_time() - began))
    return statistics.median(runs)


async def resync(interpreter: Interpreter, objects: int) -> tuple[float, float]:
    """The whole engine, with handlers that find nothing to do: first sight, and once more."""
    log.disabled = True
    engine = Engine(time.monotonic)
    engine.add(domain(interpreter))
    for number in range(objects):
        engine.store.put(THINGS, Thing(str(number), READY))
    keys = [Key(NAME, str(number)) for number in range(objects)]
    return await looked(engine, keys), await looked(engine, keys)


async def looked(engine: Engine, keys: list[Key]) -> float:
    began = time.process_time()
    for key in keys:
        engine.queue.add(key)
    worker = asyncio.create_task(engine.run(1))
    while not engine.queue.idle:
        await asyncio.sleep(0)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    return time.process_time() - began


def domain(interpreter: Interpreter) -> Domain[Thing]:
    """The real statechart; facts are read off the object, and nothing has to be done."""
    facts: Facts[Thing] = Facts()
    for name, sentence in interpreter.table.statechart.facts.items():

        def told(seen: Thing, name: str = name) -> Finding:
            return Finding(name in seen.facts, "so it is")

        told.__name__, told.__doc__ = name, sentence
        facts.add(told)
    orders: set[Order] = {order for leaf in interpreter.table.leaves.values() for order in leaf.orders}
    return Domain(NAME, interpreter, facts, {order.thing: Done() for order in orders}, observe)


def observe(store: Store, key: Key, now: float) -> Thing:
    seen = store.get(THINGS, key.id)
    assert seen is not None
    return seen
