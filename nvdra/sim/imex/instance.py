"""The life of one pretend nvidia-imex: started, perhaps waiting for former importers, ready, and stopped."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nvdra.sim.imex.books import Exports, Imports, Session
from nvdra.sim.imex.mesh import Identity, Mesh
from nvdra.sim.imex.network import Link, Listener, Message, Network
from nvdra.sim.imex.settings import Config, ControlFile, ImexFault, Place, read_config, read_hosts, read_nodes

TICK = 0.2
CLEAN_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class PretendImex:
    """One instance. `run` is its life; `signal` is what a process would be sent."""

    def __init__(self, config_path: Path, place: Place, network: Network, write: Callable[[str], None]) -> None:
        self._config_path, self._place, self._network, self._write = config_path, place, network, write
        self._control = ControlFile(place.control)
        self._state = "INITIALIZING"
        self._wake = asyncio.Event()
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._born = time.monotonic()
        self._heard_at = -1e9
        self._open: list[Listener] = []
        self._answering: set[asyncio.Task[dict[str, Any]]] = set()
        self.mesh: Mesh | None = None

    @property
    def state(self) -> str:
        """What `nvidia-imex-ctl -q` prints."""
        return self._state

    def signal(self, number: int) -> None:
        """Act on a signal as the real one does; one that it does not know kills."""
        if number == signal.SIGUSR1:
            self._refresh()
        elif number == signal.SIGHUP:
            self._say("Verbose log written", "DEBUG")
        elif not self._end.done():
            self._end.set_result(0 if number in CLEAN_STOPS else -number)

    async def run(self) -> int:
        """Live until the end; the exit code, or minus the number of the signal that killed it."""
        self._write(f"IMEX Log initializing at: {time.strftime('%m/%d/%Y %H:%M:%S')}.000")
        life = asyncio.create_task(self._live())
        try:
            await asyncio.wait([life, self._end], return_when=asyncio.FIRST_COMPLETED)
        finally:
            life.cancel()
            await asyncio.wait([life])
        if life.cancelled():
            return self._end.result() if self._end.done() else -signal.SIGKILL
        return life.result()

    async def import_memory(self, exporter: int) -> None:
        """Make this node hold a piece of another node's memory; ImexFault when they are not connected."""
        mesh = self.mesh
        if mesh is None or exporter not in mesh.peers:
            raise ImexFault(f"Import failed: no node {exporter} in this domain")
        if await mesh.ask(exporter, "import") is None:
            raise ImexFault(f"Import failed: not connected to node {exporter}")
        mesh.imports.added(exporter)

    async def _live(self) -> int:
        control = self._control.look()
        await asyncio.sleep(control.start_delay)
        if control.exit_at_start:
            self._say(control.exit_at_start, "ERROR")
            return 1
        with contextlib.ExitStack() as held:
            try:
                config = read_config(self._config_path)
                names = read_nodes(config.nodes_file)
                self._say_settings(config, control.version)
                session = Session(self._place.root)
                held.callback(session.close)
                held.callback(self._close_listeners)
                mesh = await self._joined(config, names)
            except ImexFault as fault:
                self._say(str(fault), "ERROR")
                return 1
            held.push(lambda *_: self._leave(mesh))
            return await self._stay(mesh, config)

    async def _joined(self, config: Config, names: list[str]) -> Mesh:
        hosts = read_hosts(self._place.hosts)
        own = [i for i, name in enumerate(names) if config.own_address in hosts.get(name, [name])]
        if not own:
            raise ImexFault(f"Unable to identify this node: no line of {config.nodes_file} is {config.own_address}")
        who = Identity(own[0], names, config.own_address, config.port)
        exports = Exports(self._place.persist, who.nodes)
        mesh = self.mesh = Mesh(who, self._network, (exports, Imports(self._place)), self._say)
        mesh.state, mesh.changed = lambda: self._state, self._wake.set
        mesh.resolve(hosts)
        await self._listen(config.own_address, config.port, mesh.called)
        found = f"ID {who.own}, using bind IP of '{config.own_address}', and network interface of lo"
        self._say(f"Identified this node as {found}")
        if not exports.existed:
            missing = f"nvidia-imex persistence file {self._place.persist} does not exist."
            self._say(f"{missing}  Assuming no previous importers.")
        if config.command_enabled:
            await self._listen(config.command_bind, config.command_port, lambda: Link(self._commanded))
        return mesh

    async def _listen(self, address: str, port: int, made: Callable[[], Link]) -> None:
        try:
            self._open.append(await self._network.listen(address, port, made))
        except OSError as error:
            raise ImexFault(f"Failed to bind {address}:{port}: {os.strerror(error.errno or 0)}") from error

    async def _stay(self, mesh: Mesh, config: Config) -> int:
        self._say("NvGpu Library version matched with GPU Driver version")
        self._say(f"Creating gRPC channels to all peers (nPeers = {len(mesh.who.names)}).")
        if config.quorum != "FULL":
            self._say(
                "IMEX_WAIT_FOR_QUORUM != FULL, continuing initialization without waiting for connections to all nodes."
            )
        mesh.meet_itself()
        while True:
            now, control = time.monotonic(), self._control.look()
            if control.crash is not None and now - self._born >= control.crash[0]:
                self._say("Fatal error, aborting", "ERROR")
                return control.crash[1]
            mesh.apply(control)
            mesh.dial_due(now)
            self._advance(mesh, config, now - self._born >= control.ready_after)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._wake.wait()

    def _advance(self, mesh: Mesh, config: Config, rested: bool) -> None:
        if self._state == "READY":
            return
        recovering = mesh.missing(mesh.exports.former) if config.quorum != "NONE" else []
        alone = mesh.missing(mesh.peers) if config.quorum == "FULL" else []
        if recovering:
            self._enter("WAITING_FOR_RECOVERY", f"Waiting for nodes that imported before: {_names(mesh, recovering)}")
        elif alone:
            self._enter("WAITING_FOR_PEERS", f"Waiting for connections to all nodes: {_names(mesh, alone)}")
        elif not rested:
            self._enter("INIT_GPU", "")
        else:
            mesh.exports.recovered()
            self._enter("READY", "GPU event successfully subscribed")

    def _enter(self, state: str, line: str) -> None:
        if self._state != state:
            self._state = state
            if line:
                self._say(line)

    def _refresh(self) -> None:
        """SIGUSR1: one is taken, those within the deaf time after it are lost without a word."""
        now = time.monotonic()
        if self.mesh is None or now - self._heard_at < self.mesh.control.deaf:
            return
        self._heard_at = now
        self._say("Re-resolving and re-connecting to all nodes")
        self.mesh.resolve(read_hosts(self._place.hosts))
        self.mesh.reconnect()
        self._wake.set()

    def _commanded(self, link: Link, message: Message) -> None:
        task = asyncio.create_task(self._obey(message))
        self._answering.add(task)
        task.add_done_callback(partial(self._told, link))

    async def _obey(self, message: Message) -> dict[str, Any]:
        mesh, what = self.mesh, message.get("ask")
        if what == "state":
            return {"state": self._state}
        if what == "domain" and mesh is not None:
            return await mesh.domain()
        if what == "import":
            await self.import_memory(int(message["from"]))
            return {"imported": message["from"]}
        return {"error": f"unknown command {what}"}

    def _told(self, link: Link, task: asyncio.Task[dict[str, Any]]) -> None:
        self._answering.discard(task)
        if task.cancelled() or self.mesh is None:
            return
        fault = task.exception()
        self.mesh.reply(link, {"error": str(fault)} if fault else task.result())

    def _close_listeners(self) -> None:
        for listener in self._open:
            listener.close()

    def _leave(self, mesh: Mesh) -> None:
        clean = self._end.done() and not self._end.cancelled() and self._end.result() == 0
        if clean:
            self._state = "SHUTTING_DOWN"
            self._say("Shutting down")
            mesh.exports.close()
        mesh.close(clean=clean)

    def _say_settings(self, config: Config, version: str) -> None:
        self._say(f"IMEX version {version} is running with the following configuration options")
        self._say(f"Node configuration file = {config.nodes_file}")
        self._say(f"IMEX Library communication bind interface = {config.bind}")
        self._say(f"IMEX library communication bind port = {config.port}")

    def _say(self, text: str, level: str = "INFO") -> None:
        self._write(f"[{time.strftime('%b %d %Y %H:%M:%S')}] [{level}] [tid {os.getpid()}] {text}")


def _names(mesh: Mesh, indices: list[int]) -> str:
    return ", ".join(f"node {index} ({mesh.who.names[index]})" for index in indices)
