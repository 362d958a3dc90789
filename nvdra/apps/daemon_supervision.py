"""The supervision of nvidia-imex on one node, wired. It watches one object and writes nothing to the API.

Many may run in one process: nothing here is global, reads the environment or handles signals.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from attrs import define, field

from nvdra.adapters.files import DiskFiles
from nvdra.adapters.http.server import HttpServer
from nvdra.adapters.imex.binaries import IMEX
from nvdra.adapters.imex.ctl import ImexCtl
from nvdra.adapters.kube.reflector import Reflector
from nvdra.adapters.looptime import loop_time
from nvdra.api.computedomain import ROSTERS, Roster
from nvdra.apps.daemon_http import routes, serve
from nvdra.apps.daemon_probe import Probe
from nvdra.apps.daemon_settings import ImexDaemonSettings
from nvdra.domains.imex_daemon import facts, snapshot, things
from nvdra.domains.imex_daemon.child import Child
from nvdra.domains.imex_daemon.files import Paths
from nvdra.domains.imex_daemon.snapshot import STOPS, Stop
from nvdra.domains.imex_daemon.status import Status, Voice
from nvdra.engine.domain import Domain
from nvdra.engine.engine import Engine
from nvdra.engine.queue import Key
from nvdra.engine.recorder import Recorder
from nvdra.errors import Again, NvdraError
from nvdra.ports import Clock, Cluster, Files, Processes

log = logging.getLogger(__name__)

CLEAN: Final = 0
CONFIGURATION: Final = 1
DEFECT: Final = 2
KILLED: Final = 3
"""Exit codes. KILLED: nvidia-imex did not end when asked, so its peers were not told."""
LOOK_AGAIN: Final = 5.0
LONGEST_WORDS: Final = 4096
"""The kubelet reads no more."""

Work = Callable[[], Coroutine[Any, Any, None]]


def _to_stdout(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@define(eq=False)
class ImexDaemon:
    """One daemon; many may run in one process. `forward` gets each line that nvidia-imex prints."""

    settings: ImexDaemonSettings
    cluster: Cluster
    processes: Processes
    clock: Clock = loop_time
    files: Files = field(factory=DiskFiles)
    forward: Callable[[str], None] = _to_stdout
    watch_engine: Callable[[Engine], None] = lambda _: None
    door: socket.socket | None = None
    status: Status = field(init=False)
    _engine: Engine | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.status = Status(self.settings.identity.domain, "", ready=False, reason="the IMEX daemon has just started")

    def stop(self) -> None:
        """End nvidia-imex, then run()."""
        self._stopping = True
        if self._engine is not None:
            self._engine.store.put(STOPS, Stop())

    async def run(self) -> int:
        """Until stopped; the exit code. An unclean end leaves its reason in the termination message."""
        try:
            code, why = await self._supervise()
        except NvdraError as error:  # nothing runs: it cannot be started as it was told
            code, why = CONFIGURATION, str(error)
        if code != CLEAN:
            last_words(self.files, self.settings.paths, why)
        return code

    async def _supervise(self) -> tuple[int, str]:
        settings, engine = self.settings, Engine(self.clock, Recorder())
        child = Child(self.processes, engine.store, self.clock, _command(settings), self.forward)
        voice = Voice(self.files, settings.paths, self.status, self.clock(), self._take)
        works = self._works(engine, child, voice)
        server = HttpServer(routes(voice, settings.hold, self.clock))
        if settings.health_port is not None:
            await serve(server, settings.identity.addresses[0], settings.health_port, self.door)
        try:
            self._begin(engine)
            return await _until_ended(works, voice, child)
        finally:
            self._engine = None
            await server.stop()

    def _begin(self, engine: Engine) -> None:
        self._engine = engine
        self.watch_engine(engine)
        if self._stopping:
            self.stop()

    def _take(self, status: Status) -> None:
        self.status = status

    def _works(self, engine: Engine, child: Child, voice: Voice) -> Sequence[Work]:
        """Everything that goes on side by side. Without a fabric there is nothing to follow and nobody to ask."""
        settings, key = self.settings, Key(snapshot.KIND, self.settings.identity.domain)
        reflector = Reflector(
            self.cluster,
            ROSTERS,
            engine.store,
            namespace=settings.identity.namespace,
            fields=f"metadata.name={settings.identity.roster}",
        )
        ports = things.Ports(engine.store, self.files, settings.paths, child, self.clock, settings.grace)
        snapshot.declare(engine.store, key)
        engine.add(self._domain(ports, reflector, voice))
        things.look_at_disk(ports)
        engine.queue.add(key)
        if not settings.identity.clique:
            return [engine.run]
        probe = Probe(ImexCtl(self.processes, settings.paths.config, settings.imex_ctl), child, settings.rhythm)
        return [engine.run, reflector.run, probe.run]

    def _domain(
        self, ports: things.Ports, reflector: Reflector[Roster], voice: Voice
    ) -> Domain[snapshot.ImexDaemonSnapshot]:
        from nvdra.apps import statecharts

        return Domain(
            snapshot.KIND,
            statecharts.interpreter(snapshot.KIND, self.settings.statecharts),
            facts.FACTS,
            things.things(ports),
            snapshot.View(self.settings.identity, lambda: reflector.trouble).observe,
            voice,
            title=lambda _: f"{self.settings.identity.title} on {self.settings.identity.node}",
            resync=LOOK_AGAIN,
        )


async def _until_ended(works: Sequence[Work], voice: Voice, child: Child) -> tuple[int, str]:
    """Until the statechart is at its end, or one of the works breaks down; no nvidia-imex is left behind."""
    tasks = [asyncio.ensure_future(work()) for work in works]
    ended = asyncio.ensure_future(voice.ended.wait())
    try:
        await asyncio.wait([*tasks, ended], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (*tasks, ended):
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        killed = child.killed
        await child.gone()
    broken = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    for error in broken:
        log.error("a defect of ours", exc_info=error)
    if broken:
        return DEFECT, f"a defect of nvdra ended the IMEX daemon: {broken[0]!r}"
    if killed:
        return KILLED, "nvidia-imex did not end within its time and was killed: peers find out by themselves"
    return CLEAN, ""


def last_words(files: Files, paths: Paths, why: str) -> None:
    """Leave the reason where the kubelet looks for it; where there is no such file, nobody asks."""
    log.error("%s", why)
    try:
        if files.read(paths.last_words) is not None:
            files.overwrite(paths.last_words, f"{why}\n".encode()[:LONGEST_WORDS])
    except Again as error:
        log.warning("%s", error)


def _command(settings: ImexDaemonSettings) -> Sequence[str]:
    """nvidia-imex's command line; Refused when it is to run and is not there."""
    program = str(settings.imex) if settings.identity.clique else IMEX
    return [program, "-c", str(settings.paths.config)]
