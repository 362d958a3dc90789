"""Which command line is played how."""

import asyncio
import contextlib
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from nvdra.sim.kube.runtime.doors import awaited
from nvdra.sim.kube.runtime.mpirun import Mpirun, World
from nvdra.sim.kube.runtime.rootfs import inside
from nvdra.sim.kube.runtime.running import Interpreted, Launcher, Running, Say, Signals
from nvdra.sim.kube.runtime.shell import KNOWN, Shell
from nvdra.sim.kube.runtime.words import NotUnderstoodError

DRIVER_TOOL: Final = "nvidia-imex-ctl"
"""The one program of the pretend driver that people start by hand."""
_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash"})


@frozen
class Commands:
    """Starts command lines in a rootfs."""

    launcher: Launcher
    world: World

    async def once(self, argv: Sequence[str], env: Mapping[str, str], rootfs: Path, say: Say) -> Running:
        """A command in a container that runs already (a probe, `kubectl exec`): what is not played here fails."""
        program = Path(argv[0]).name if argv else ""
        if program in {"nvdra", DRIVER_TOOL}:
            return await self._real(program, argv, env, rootfs, say)
        try:
            return _played(_script(program, argv), env, rootfs, say)
        except NotUnderstoodError as what:
            say(f"nvdra sim runs no images: command {' '.join(argv)!r} was not run ({what} is not played here)")
            return Interpreted(_fails)

    async def _real(self, program: str, argv: Sequence[str], env: Mapping[str, str], rootfs: Path, say: Say) -> Running:
        if program == DRIVER_TOOL and not inside(rootfs, f"/usr/bin/{program}").exists():
            say(f"{argv[0]}: not found")
            return Interpreted(_not_found)
        return await self.launcher.launch(argv, env, rootfs, say)

    async def start(self, argv: Sequence[str], env: Mapping[str, str], rootfs: Path, say: Say) -> Running:
        """Start it, really or in play."""
        program = Path(argv[0]).name if argv else ""
        if program == "nvdra":
            return await self.launcher.launch(argv, env, rootfs, say)
        if program == "mpirun":
            return Interpreted(Mpirun(argv, env, rootfs, say, self.world).play)
        if program == "sshd":
            say("nvdra sim runs no images: sshd stands by, and nothing listens")
            return Interpreted(_stands_by)
        try:
            return _played(_script(program, argv), env, rootfs, say)
        except NotUnderstoodError as what:
            said = " ".join(argv) or "of the image"
            say(f"nvdra sim runs no images: command {said!r} was not run ({what} is not played here); it stands by")
            return Interpreted(_stands_by)


def _played(script: str, env: Mapping[str, str], rootfs: Path, say: Say) -> Running:
    with contextlib.suppress(NotUnderstoodError):
        return Interpreted(awaited(script, env).play)
    return Interpreted(Shell(script, env, rootfs, say).play)


def _script(program: str, argv: Sequence[str]) -> str:
    if program in _SHELLS and len(argv) >= 3 and argv[1].startswith("-") and argv[1].endswith("c"):
        return argv[2]
    if program in KNOWN:
        return " ".join([program, *("'" + word.replace("'", "'\\''") + "'" for word in argv[1:])])
    raise NotUnderstoodError(program or "the image's own entrypoint")


async def _fails(_: Signals) -> int:
    return 126


async def _not_found(_: Signals) -> int:
    return 127


async def _stands_by(signals: Signals) -> int:
    """Until a signal ends it."""
    while True:
        await signals.arrival()
        number = signals.take()
        if number in {signal.SIGTERM, signal.SIGINT}:
            await asyncio.sleep(0)
            return 128 + number
