"""The first process of the bed's own process namespace: starts the rest, buries the dead, and does as it is told."""

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

from .faults import BedFault

TICK = 0.1
GRACE = 20.0


@define(eq=False)
class Program:
    """One long-lived process and how it is started."""

    command: Callable[[], Sequence[str]]
    pid: int = 0
    ended: str = ""


@define(eq=False)
class Supervisor:
    """Programs by name, each with a log file of its own."""

    logs: Path
    programs: dict[str, Program] = field(factory=dict)

    def start(self, name: str, command: Callable[[], Sequence[str]] | None = None) -> int:
        """Start it, or start it again; its process id."""
        program = self.programs.setdefault(name, Program(command)) if command else self.named(name)
        if self.alive(name):
            return program.pid
        argv = list(program.command())
        log = self.logs / f"{name.replace('/', '.')}.log"
        program.ended = ""
        program.pid = os.posix_spawnp(
            argv[0], argv, os.environ, file_actions=output_to(log), setsid=True, setsigmask=()
        )
        return program.pid

    def stop(self, name: str, number: int = signal.SIGTERM) -> str:
        """Stop it and wait for its end: how it ended."""
        program = self.named(name)
        if not self.alive(name):
            return program.ended or "was not running"
        os.kill(program.pid, number)
        end = time.monotonic() + GRACE
        while self.alive(name):
            if time.monotonic() > end:
                os.kill(program.pid, signal.SIGKILL)
            time.sleep(0.01)
        return program.ended

    def alive(self, name: str) -> bool:
        """Whether it runs."""
        program = self.programs.get(name)
        if program is None or not program.pid:
            return False
        with contextlib.suppress(ChildProcessError):
            gone, status = os.waitpid(program.pid, os.WNOHANG)
            if gone:
                self._buried(gone, status)
        return bool(program.pid)

    def named(self, name: str) -> Program:
        """The program of that name."""
        if name not in self.programs:
            raise BedFault(f"no program {name!r} in the bed; there are {', '.join(self.programs)}")
        return self.programs[name]

    def bury(self) -> None:
        """Orphans of the whole namespace come to us: let none of them linger."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self._buried(*found)

    def serve(self, path: Path) -> None:
        """Do as we are told on that socket, one JSON line for one JSON line, until the end."""
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as waiting:
            listener.bind(str(path))
            listener.listen()
            waiting.register(listener, selectors.EVENT_READ)
            while True:
                self.bury()
                if waiting.select(TICK):
                    with listener.accept()[0] as connection, connection.makefile("rw") as line:
                        line.write(json.dumps(self._answer(json.loads(line.readline()))) + "\n")

    def _answer(self, told: dict[str, Any]) -> dict[str, Any]:
        try:
            match told["do"]:
                case "start":
                    return {"pid": self.start(told["name"])}
                case "stop":
                    return {"ended": self.stop(told["name"], told.get("signal", signal.SIGTERM))}
                case "status":
                    return {
                        name: program.pid if self.alive(name) else program.ended
                        for name, program in self.programs.items()
                    }
        except (BedFault, OSError) as error:
            return {"error": str(error)}
        return {"error": f"what is {told['do']!r}? start, stop or status"}

    def _buried(self, pid: int, status: int) -> None:
        for program in self.programs.values():
            if program.pid == pid:
                code = os.waitstatus_to_exitcode(status)
                program.pid, program.ended = (
                    0,
                    f"exited with {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}",
                )


def output_to(log: Path) -> list[tuple[Any, ...]]:
    """For posix_spawn: nothing to read, and all that is said goes to the log's end."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
