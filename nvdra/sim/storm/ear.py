"""Hears what the driver says while a world lives: steps go into its trace, defects that the driver caught are told."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from nvdra.sim.storm.world import World


class _Ear(logging.Handler):
    def __init__(self, world: World) -> None:
        super().__init__(logging.INFO)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        """One line of the log."""
        if record.exc_info is not None and record.levelno >= logging.ERROR:
            self._world.broken(f"a defect: {record.getMessage()}: {record.exc_info[1]!r}")
        elif hasattr(record, "state"):
            self._world.trace.note("step", record.getMessage(), to=str(getattr(record, "kind", "")))


@contextmanager
def heard(world: World) -> Iterator[None]:
    """Listen; nothing is printed meanwhile."""
    logger, ear = logging.getLogger("nvdra"), _Ear(world)
    level, propagates = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(ear)
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logger.setLevel(level)
        logger.propagate = propagates
