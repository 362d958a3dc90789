"""Container logs: one file for each start of a container, below the node's /var/log/pods."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

_POLL = 0.2


class Log:
    """The log of one start."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._out = path.open("ab", buffering=0)

    def say(self, line: str) -> None:
        """Append a line; what comes after the end is lost, as with a closed pipe."""
        if not self._out.closed:
            self._out.write(line.encode(errors="replace") + b"\n")

    def close(self) -> None:
        """No more lines."""
        self._out.close()

    def tail(self, lines: int = 80, size: int = 2048) -> str:
        """The end of it, for FallbackToLogsOnError."""
        text = self.path.read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])[-size:]


async def read(path: Path, goes_on: Callable[[], bool]) -> AsyncIterator[bytes]:
    """What is in a log, and what is added while `goes_on()`."""
    with path.open("rb") as file:
        while True:
            more = goes_on()
            chunk = file.read()
            if chunk:
                yield chunk
            elif not more:
                return
            else:
                await asyncio.sleep(_POLL)
