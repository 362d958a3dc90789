"""How the driver's programs run in the rack's containers: each a process of its own, or instances in this one."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import load
from nvdra.adapters.processes import AsyncProcesses
from nvdra.ports import Process
from nvdra.sim.kill import VARIABLE as KILL_AT
from nvdra.sim.kube.runtime.rootfs import inside
from nvdra.sim.kube.runtime.running import Running, Say

KILLED = 128


def node_root_of(rootfs: Path) -> Path:
    """`<node root>/containers/<pod uid>/<name>/rootfs`."""
    return rootfs.parents[3]


@frozen(eq=False)
class _Child:
    """A real process, in the runtime's terms."""

    process: Process
    pid: int

    def signal(self, number: int) -> None:
        self.process.signal(number)

    async def wait(self) -> int:
        code = (await self.process.wait()).code
        return KILLED - code if code < 0 else code


@frozen(eq=False)
class ProcessLauncher:
    """Every program a process of its own, as on a real node."""

    kubeconfig: Path

    async def launch(self, argv: Sequence[str], env: Mapping[str, str], rootfs: Path, on_output: Say) -> Running:
        """Start it."""
        environment = {**_inherited(), **env, **_place(rootfs), "KUBECONFIG": str(self.kubeconfig)}
        child = await AsyncProcesses(environment).start(_command(argv, rootfs), on_output)
        return _Child(child, child.pid)


def _command(argv: Sequence[str], rootfs: Path) -> list[str]:
    """`nvdra …` is our own module; else it is a program of the pretend driver, and its paths are the container's."""
    if Path(argv[0]).name == "nvdra":
        return [sys.executable, "-m", "nvdra.sim.process", *argv[1:]]
    words = (str(inside(rootfs, word)) if word.startswith("/") else word for word in argv[1:])
    return [str(inside(rootfs, f"/usr/bin/{Path(argv[0]).name}")), *words]


def _inherited() -> dict[str, str]:
    kept = (
        "PATH",
        "HOME",
        "LANG",
        "TMPDIR",
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "PREPARE_HOLD",
        "PROBE_INTERVAL",
        "SWEEP_SURE",
        KILL_AT,
    )
    return {name: os.environ[name] for name in kept if name in os.environ}


def _place(rootfs: Path) -> dict[str, str]:
    return {
        "NVDRA_ROOT": str(rootfs),
        "NVDRA_SIM_NODE_ROOT": str(node_root_of(rootfs)),
        "NVDRA_SIM_HOSTS": str(rootfs / "etc/hosts"),
        "NVDRA_SIM_PERSIST": str(rootfs / "var/run/nvidia-imex/persist.dat"),
        "PYTHONUNBUFFERED": "1",
    }


Program = Callable[[Sequence[str], Mapping[str, str], Path, Say, KubeClient], Coroutine[Any, Any, int]]


@define(eq=False)
class _Instance:
    """A program that runs as a task. SIGTERM cancels it, as the process would stop; SIGKILL too."""

    task: "asyncio.Task[int]"
    stopped_by: int = field(default=0)
    pid: int = 0

    def signal(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            self.stopped_by = number
            self.task.cancel()

    async def wait(self) -> int:
        await asyncio.wait([self.task])
        if self.task.cancelled():
            return KILLED + self.stopped_by if self.stopped_by == signal.SIGKILL else 0
        return self.task.result() if self.task.exception() is None else 1


@define(eq=False)
class InstanceLauncher:
    """Every program an instance in this process, with a client of its own over HTTP: racks of hundreds of nodes."""

    kubeconfig: Path
    programs: Mapping[str, Program]

    async def launch(self, argv: Sequence[str], env: Mapping[str, str], rootfs: Path, on_output: Say) -> Running:
        """Start it."""
        return _Instance(asyncio.ensure_future(self._run(argv, env, rootfs, on_output)))

    async def _run(self, argv: Sequence[str], env: Mapping[str, str], rootfs: Path, on_output: Say) -> int:
        if Path(argv[0]).name != "nvdra":
            on_output(f"{argv[0]}: not to be had where the driver runs inside of the rack's own process")
            return 127
        client = KubeClient(load(str(self.kubeconfig)), argv[1])
        try:
            return await self.programs[argv[1]](argv, {**env, **_place(rootfs)}, rootfs, on_output, client)
        except Exception as error:
            on_output(f"{argv[1]}: {error!r}")
            raise
        finally:
            await client.close()
