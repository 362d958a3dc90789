"""Plays `sh -c` scripts made of a few commands. Nothing of them is executed on this machine; files are really read."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from nvdra.sim.kube.runtime.listing import ls, stand_ins
from nvdra.sim.kube.runtime.rootfs import inside
from nvdra.sim.kube.runtime.running import Say, Signals
from nvdra.sim.kube.runtime.words import NotUnderstoodError, Step, filled, parse

_SIGNALS: Final = {s.name.removeprefix("SIG"): int(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
KNOWN: Final = frozenset({"ls", "cat", "echo", "trap", "sleep", "wait", "true", "false", ":", "exit"})


class _LeaveError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Shell:
    """One script as process 1 of a container: signals without a trap are ignored, as the kernel does it."""

    def __init__(self, script: str, env: Mapping[str, str], rootfs: Path, say: Say) -> None:
        self._steps = checked(parse(script))
        self._env = dict(env)
        self._rootfs = rootfs
        self._say = say
        self._traps: dict[int, tuple[Step, ...]] = {}
        self._jobs: set[asyncio.Task[int]] = set()
        self._commands: dict[str, Callable[[Sequence[str]], Awaitable[int]]] = {
            "sleep": _sleep,
            "ls": self._ls,
            "cat": self._cat,
        }

    async def play(self, signals: Signals) -> int:
        """Run to the end; the exit code."""
        try:
            return await self._run(self._steps, signals)
        except _LeaveError as leave:
            return leave.code
        finally:
            for job in self._jobs:
                job.cancel()
            await asyncio.gather(*self._jobs, return_exceptions=True)

    async def _run(self, steps: Sequence[Step], signals: Signals) -> int:
        code, skip = 0, False
        for step in steps:
            if not skip:
                code = await self._step(step, signals)
                await self._handle(signals)
            skip = (step.then == "&&" and code != 0) or (step.then == "||" and code == 0)
        return code

    async def _step(self, step: Step, signals: Signals) -> int:
        argv = [filled(word, self._env) for word in step.words]
        if step.then == "&":
            self._jobs.add(asyncio.ensure_future(self._command(argv)))
            return 0
        if argv[0] == "wait":
            return await self._wait(signals)
        if argv[0] == "trap":
            return self._trap(argv[1:])
        if argv[0] == "exit":
            raise _LeaveError(int(argv[1]) if len(argv) > 1 else 0)
        return await self._command(argv)

    async def _command(self, argv: Sequence[str]) -> int:
        if argv[0] == "echo":
            self._say(" ".join(argv[1:]))
            return 0
        if argv[0] in {"true", ":", "false"}:
            return int(argv[0] == "false")
        return await self._commands[argv[0]](argv[1:])

    def _trap(self, argv: Sequence[str]) -> int:
        for name in argv[1:]:
            number = _SIGNALS.get(name.removeprefix("SIG"))
            if number is not None:
                self._traps[number] = checked(parse(argv[0]))
        return 0

    async def _wait(self, signals: Signals) -> int:
        """Until all background commands are over, or a trapped signal comes."""
        while any(not job.done() for job in self._jobs):
            if await _first(signals, self._jobs) and (number := await self._handle(signals)):
                return 128 + number
            self._jobs = {job for job in self._jobs if not job.done()}
        return 0

    async def _handle(self, signals: Signals) -> int:
        """Run the traps of what has come; the last trapped signal, 0 when none was."""
        trapped = 0
        while (number := signals.take()) is not None:
            if number in self._traps:
                trapped = number
                await self._run(self._traps[number], Signals())
        return trapped

    async def _ls(self, argv: Sequence[str]) -> int:
        flags = "".join(word[1:] for word in argv if word.startswith("-"))
        if set(flags) - set("la1"):
            self._say(f"nvdra sim: ls knows -l, -a and -1, not -{flags}")
            return 2
        paths = [word for word in argv if not word.startswith("-")] or ["/"]
        code = 0
        for index, path in enumerate(paths):
            found = inside(self._rootfs, path)
            try:
                lines = ls(found, path, hidden="a" in flags, long="l" in flags)
            except OSError as error:
                self._say(f"ls: cannot access '{path}': {error.strerror}")
                code = 2
                continue
            if len(paths) > 1 and found.is_dir():
                lines = [*([""] if index else []), f"{path}:", *lines]
            for line in [*lines, *(stand_ins(found) if "l" in flags else [])]:
                self._say(line)
        return code

    async def _cat(self, argv: Sequence[str]) -> int:
        code = 0
        for path in argv:
            try:
                for line in inside(self._rootfs, path).read_text(errors="replace").splitlines():
                    self._say(line)
            except OSError as error:
                self._say(f"cat: {path}: {error.strerror}")
                code = 1
        return code


async def _first(signals: Signals, jobs: set[asyncio.Task[int]]) -> bool:
    """Wait for a signal or the end of a job; True when a signal came."""
    arrival = asyncio.ensure_future(signals.arrival())
    try:
        await asyncio.wait([arrival, *jobs], return_when=asyncio.FIRST_COMPLETED)
        return arrival.done()
    finally:
        arrival.cancel()
        await asyncio.gather(arrival, return_exceptions=True)


async def _sleep(argv: Sequence[str]) -> int:
    total = sum(float(word.rstrip("smhd")) * _UNITS.get(word[-1], 1) for word in argv if word != "infinity")
    await asyncio.sleep(10**9 if "infinity" in argv else total)
    return 0


def checked(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps, if every command of them is played here; NotUnderstoodError otherwise."""
    for step in steps:
        command = filled(step.words[0], {})
        if command not in KNOWN:
            raise NotUnderstoodError(command)
    return steps
