"""How long something may fail before it is done without: what others need an end of must not wait for ever."""

import logging
from collections.abc import Callable

from attrs import define, field

from nvdra.errors import Again

log = logging.getLogger("nvdra.engine")


@define(eq=False)
class Patience:
    """For `seconds` from the first failure of each path on. Losing it costs that time once more."""

    seconds: float
    _since: dict[str, float] = field(factory=dict)

    def attempt(self, path: str, work: Callable[[], None], now: float) -> None:
        """Raises Again, so that it is tried again; returns, and says so, when that has gone on for too long."""
        try:
            work()
        except Again as error:
            if now - self._since.setdefault(path, now) < self.seconds:
                raise
            log.warning("%s: done without, after %.0f s: %s", path, now - self._since[path], error)
        self._since.pop(path, None)
