"""How fast the core settles, and what a resync of very many objects costs: `python tests/bench/settles.py [objects]`.

Figures, no judgement: no clock is asserted here.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable

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


def main(objects: int) -> None:
    interpreter = statecharts.interpreter(NAME)
    home = interpreter.settle(None, READY).leaf.name
    print(
        f"{'settles a second, idle (in its state already)':58}{rate(lambda: interpreter.settle(home, READY)):>12,.0f}"
    )
    print(
        f"{'settles a second, cold (from the beginning, a path of 3)':58}{rate(lambda: interpreter.settle(None, READY)):>12,.0f}"
    )
    first, again = asyncio.run(resync(interpreter, objects))
    print(f"{f'first look at {objects:,} objects, seconds':58}{first:>12.1f}")
    print(f"{f'resync of {objects:,} objects, seconds':58}{again:>12.1f}")
    print(f"{'looks a second at resync (snapshot, facts, orders, report)':58}{objects / again:>12,.0f}")


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


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
