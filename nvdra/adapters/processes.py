"""ports.Processes on asyncio: long-running children whose output is passed on, and short commands with a time limit.

A child never outlives this process: the kernel tells it (PR_SET_PDEATHSIG) when the thread that started it ends.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from nvdra.errors import Refused
from nvdra.ports import Exit, Output

TAIL: Final = 20
"""Lines kept of what a child printed last."""
_LONGEST_LINE: Final = 8192
_DRAIN: Final = 1.0
"""Seconds for output that is still on its way when a child has ended; a grandchild may hold the pipe for ever."""
_PR_SET_PDEATHSIG: Final = 1


class ChildProcess:
    """A child under supervision; made by AsyncProcesses.start."""

    def __init__(self, process: asyncio.subprocess.Process, on_line: Callable[[str], None]) -> None:
        self._process = process
        self._on_line = on_line
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._exit: Exit | None = None
        self._watch = asyncio.create_task(self._until_end())

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def exited(self) -> Exit | None:
        """None while it runs, or while its last lines are still being read."""
        return self._exit

    def signal(self, number: int) -> None:
        """Send a signal; no error when it has ended meanwhile."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def wait(self) -> Exit:
        """Wait for its end; several may wait, and giving up waiting does not end the child."""
        return await asyncio.shield(self._watch)

    async def _until_end(self) -> Exit:
        reading = asyncio.create_task(self._read())
        code = await self._process.wait()
        done, _ = await asyncio.wait([reading], timeout=_DRAIN)
        if not done:
            reading.cancel()
            await asyncio.wait([reading])
        _close(self._process)
        self._exit = Exit(code, tuple(self._tail))
        return self._exit

    async def _read(self) -> None:
        assert self._process.stdout is not None
        pending = b""
        while chunk := await self._process.stdout.read(65536):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                self._take(line)
            if len(pending) > _LONGEST_LINE:
                self._take(pending)
                pending = b""
        if pending:
            self._take(pending)

    def _take(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        self._tail.append(text)
        self._on_line(text)


class AsyncProcesses:
    """Starts programs of this machine. `environment` replaces the inherited one when given."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self._environment = environment

    async def start(self, argv: Sequence[str], on_line: Callable[[str], None]) -> ChildProcess:
        """Start a long-running child; it gets SIGTERM when we die, so that IMEX still says goodbye to its peers."""
        process = await _started(
            argv,
            asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=self._environment,
                preexec_fn=_ends_with_us(signal.SIGTERM),
            ),
        )
        return ChildProcess(process, on_line)

    async def run(self, argv: Sequence[str], timeout: float) -> Output | None:
        """Run a short command; None when it did not end in `timeout` seconds."""
        process = await _started(
            argv,
            asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment,
                preexec_fn=_ends_with_us(signal.SIGKILL),
            ),
        )
        try:
            async with asyncio.timeout(timeout):
                out, err = await process.communicate()
        except TimeoutError:
            return None
        finally:
            await _killed(process)
        return Output(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))


async def _killed(process: asyncio.subprocess.Process) -> None:
    """Gone and reaped, whatever it did; nothing to do for one that has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    _close(process)


def _close(process: asyncio.subprocess.Process) -> None:
    """Let go of the pipes even where a grandchild keeps them open; asyncio has no public way to do it."""
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001


async def _started(argv: Sequence[str], starting: Awaitable[asyncio.subprocess.Process]) -> asyncio.subprocess.Process:
    try:
        return await starting
    except FileNotFoundError as error:
        raise Refused(_why_not_found(argv[0]), reason="ProgramMissing") from error
    except PermissionError as error:
        raise Refused(
            f"{argv[0]} may not be run: permission denied; check its mode, and that its mount allows exec",
            reason="ProgramNotExecutable",
        ) from error
    except OSError as error:
        raise Refused(
            f"{argv[0]} cannot be started: {error.strerror}; is it built for this machine ({os.uname().machine})?",
            reason="ProgramNotExecutable",
        ) from error


def _why_not_found(program: str) -> str:
    if "/" in program and Path(program).exists():
        return f"{program} is there, but its interpreter or loader is not; is it built for this image?"
    return f"{program}: no such program on this node; install the package that has it, or name its path"


def _ends_with_us(number: signal.Signals) -> Callable[[], None]:
    libc = ctypes.CDLL(None)  # loaded before the fork: between fork and exec only the call itself is safe
    parent = os.getpid()

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # we died before the kernel was asked
            os._exit(1)

    return ask_the_kernel
