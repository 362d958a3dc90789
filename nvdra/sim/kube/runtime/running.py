"""What runs in a container: a process of the driver through a `Launcher`, or an interpreted command."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from attrs import define, field

Say = Callable[[str], None]
"""Takes one line of output."""


class Running(Protocol):
    """Something that was started in a container."""

    @property
    def pid(self) -> int:
        """Its process id, 0 when it is no process."""
        ...

    def signal(self, number: int) -> None:
        """Send it a signal; no error when it has ended."""
        ...

    async def wait(self) -> int:
        """Its exit code: 128 + n when signal n ended it. May be awaited by several."""
        ...


class Launcher(Protocol):
    """Starts the driver's own programs (`nvdra …`); given by the rack: real processes, or instances in this one."""

    async def launch(self, argv: Sequence[str], env: Mapping[str, str], rootfs: Path, on_output: Say) -> Running:
        """Start it with that environment and nothing else, seeing `rootfs` as its file system."""
        ...


@define
class Signals:
    """Signals that an interpreted command has got and not yet looked at."""

    _got: list[int] = field(factory=list, init=False)
    _bell: asyncio.Event = field(factory=asyncio.Event, init=False)

    def put(self, number: int) -> None:
        """One more."""
        self._got.append(number)
        self._bell.set()

    def take(self) -> int | None:
        """The oldest one, None when there is none."""
        self._bell.clear()
        return self._got.pop(0) if self._got else None

    async def arrival(self) -> None:
        """Return once there is one."""
        if not self._got:
            self._bell.clear()
            await self._bell.wait()


class Interpreted:
    """A command that the rack plays itself; it runs nothing on this machine."""

    pid = 0

    def __init__(self, play: Callable[[Signals], Awaitable[int]]) -> None:
        self._signals = Signals()
        self._task = asyncio.ensure_future(play(self._signals))

    def signal(self, number: int) -> None:
        """SIGKILL ends it at once; what others do is up to the command."""
        if number == signal.SIGKILL:
            self._task.cancel()
        else:
            self._signals.put(number)

    async def wait(self) -> int:
        """Wait for its end without being its end."""
        await asyncio.wait([self._task])
        if self._task.cancelled():
            return 128 + signal.SIGKILL
        return self._task.result()
