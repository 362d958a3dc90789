"""ports.Processes on asyncio: long-running children whose output is passed on, and short commands with a time limit.

A child never outlives this process: the kernel tells it (PR_SET_PDEATHSIG) when the thread that started it ends.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
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


class _Pipes(asyncio.SubprocessProtocol):
    """Hears of a child's output and of its end. asyncio's Process.wait would also wait for whoever holds its pipes."""

    def __init__(self, outputs: Sequence[int], on_data: Callable[[int, bytes], None]) -> None:
        self._open = set(outputs)
        self._on_data = on_data
        self._exited = asyncio.Event()
        self._drained = asyncio.Event()
        self.transport: asyncio.SubprocessTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self.transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._on_data(fd, data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open:
            self._drained.set()

    def process_exited(self) -> None:
        self._exited.set()

    async def end(self) -> int:
        """The exit code, once it has ended and its output was read."""
        await self._exited.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN):
                await self._drained.wait()
        self.transport.close()
        code = self.transport.get_returncode()
        assert code is not None
        return code

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.transport.kill()


class ChildProcess:
    """A child under supervision; made by AsyncProcesses.start."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._pending = b""
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._exit: Exit | None = None
        self._pipes = _Pipes([1], self._take)
        self._watch: asyncio.Task[Exit]

    async def launch(self, argv: Sequence[str], environment: Mapping[str, str] | None) -> None:
        """Start it; Refused when that cannot be."""
        await _launched(self._pipes, argv, environment, stderr=subprocess.STDOUT, at_our_end=signal.SIGTERM)
        self._watch = asyncio.create_task(self._until_end())

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._pipes.transport.get_pid()

    @property
    def exited(self) -> Exit | None:
        """None while it runs, or while its last lines are still being read."""
        return self._exit

    def signal(self, number: int) -> None:
        """Send a signal; no error when it has ended meanwhile."""
        with contextlib.suppress(ProcessLookupError):
            self._pipes.transport.send_signal(number)

    async def wait(self) -> Exit:
        """Wait for its end; several may wait, and giving up waiting does not end the child."""
        return await asyncio.shield(self._watch)

    async def _until_end(self) -> Exit:
        code = await self._pipes.end()
        if self._pending:
            self._line(self._pending)
        self._exit = Exit(code, tuple(self._tail))
        return self._exit

    def _take(self, _: int, data: bytes) -> None:
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._pending) > _LONGEST_LINE:
            self._line(self._pending)
            self._pending = b""

    def _line(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        self._tail.append(text)
        self._on_line(text)


def watch_without_threads() -> None:
    """Before the loop runs: let the kernel tell of a child's end, where it can. From 3.12 on asyncio does so by itself.

    A thread a child costs a start each few seconds, and cannot be had on a node at its limit of processes.
    """
    if sys.version_info >= (3, 12):
        return
    with contextlib.suppress(OSError):  # an old kernel, or a sandbox without pidfd_open
        os.close(os.pidfd_open(os.getpid()))
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())


class AsyncProcesses:
    """Starts programs of this machine. `environment` replaces the inherited one when given."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment

    async def start(self, argv: Sequence[str], on_line: Callable[[str], None]) -> ChildProcess:
        """Start a long-running child; it gets SIGTERM when we die, so that IMEX still says goodbye to its peers."""
        child = ChildProcess(on_line)
        await child.launch(argv, self._environment)
        return child

    async def run(self, argv: Sequence[str], timeout: float) -> Output | None:
        """Run a short command; None when it did not end in `timeout` seconds."""
        printed: dict[int, bytes] = {1: b"", 2: b""}

        def take(fd: int, data: bytes) -> None:
            printed[fd] += data

        pipes = _Pipes([1, 2], take)
        await _launched(pipes, argv, self._environment, stderr=subprocess.PIPE, at_our_end=signal.SIGKILL)
        ending = asyncio.create_task(pipes.end())
        try:
            done, _ = await asyncio.wait([ending], timeout=timeout)
        finally:  # also when we are cancelled: killed and reaped, whatever it does
            if not ending.done():
                pipes.kill()
                await asyncio.wait([ending])
        if not done:
            return None
        return Output(ending.result(), printed[1].decode(errors="replace"), printed[2].decode(errors="replace"))


async def _launched(
    pipes: _Pipes,
    argv: Sequence[str],
    environment: Mapping[str, str] | None,
    *,
    stderr: int,
    at_our_end: signal.Signals,
) -> None:
    try:
        await asyncio.get_running_loop().subprocess_exec(
            lambda: pipes,
            *argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            preexec_fn=_ends_with_us(at_our_end),
        )
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
    except RuntimeError as error:  # no thread to wait for its end; asyncio has ended it again
        raise Refused(
            f"{argv[0]} cannot be started: {error}; is this node, or its pod, at its limit of processes?",
            reason="NoMoreProcesses",
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
