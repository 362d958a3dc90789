"""The clock of whatever loop runs: in a simulation it is a virtual one, and all of a program must live by the same."""

import asyncio
import random


def loop_time() -> float:
    """Seconds on the running loop's clock."""
    return asyncio.get_running_loop().time()


def a_generator() -> random.Random:
    """A generator of its own, seeded by the process's: whoever seeds that one repeats everything."""
    return random.Random(random.getrandbits(64))  # noqa: S311 - pauses and names, no secrets
