"""A node in virtual time: an API with one roster, a disk, an nvidia-imex that may do anything, and a daemon among them."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field
from msgspec.structs import replace

from nvdra.api.computedomain import Roster, RosterEntry
from nvdra.api.meta import Meta
from nvdra.apps.daemon import ImexDaemon
from nvdra.apps.daemon_settings import daemon_settings
from nvdra.domains.imex_daemon.hosts import EMPTY_SLOT
from nvdra.domains.imex_daemon.snapshot import Identity
from nvdra.errors import Again
from nvdra.ports import Exit, Listing, Output, WatchEvent
from tests.virtual_time import clock

DOMAIN, CLIQUE, NODE, ADDRESS, NAMESPACE = "uid-1", "c.1", "node-0", "10.0.0.1", "driver"
ROOT = Path("/node")
SLOTS = 4
HOSTS = b"127.0.0.1\tlocalhost\n10.0.0.1\tpod-0\n"
WHO = Identity(DOMAIN, CLIQUE, NODE, (ADDRESS,), NAMESPACE, SLOTS)


def a_roster(*addresses: str, own: int = 0, version: int = 1, ready: bool = False) -> Roster:
    """Nodes by index: `addresses[i]` is at index i; the one at `own` is ours, "" is nobody."""
    entries = [
        RosterEntry(NODE if i == own else f"node-{9 - i}", address, CLIQUE, i, "Ready" if ready else "NotReady")
        for i, address in enumerate(addresses)
        if address
    ]
    return Roster(
        Meta(name=WHO.roster, namespace=NAMESPACE, uid="r", resourceVersion=str(version)),
        DOMAIN,
        CLIQUE,
        daemons=tuple(entries),
    )


@define(eq=False)
class Api:
    """One roster, or none; broken when told so."""

    roster: Roster | None = None
    broken: bool = False
    version: int = 1
    _changed: asyncio.Event = field(factory=asyncio.Event)

    def put(self, roster: Roster | None) -> None:
        self.version += 1
        if roster is not None:
            meta = Meta(name=WHO.roster, namespace=NAMESPACE, uid="r", resourceVersion=str(self.version))
            roster = replace(roster, metadata=meta)
        self.roster = roster
        self._wake()

    def breaks(self, broken: bool) -> None:
        self.broken = broken
        self._wake()

    async def list(self, kind, namespace="", *, labels="", fields="") -> Listing:
        assert fields == f"metadata.name={WHO.roster}", "exactly one object is followed"
        if self.broken:
            raise Again("the API server is away")
        return Listing((self.roster,) if self.roster else (), str(self.version))

    async def watch(self, kind, version, namespace="", *, labels="", fields=""):
        seen, was = int(version), self.roster
        while True:
            if self.broken:
                raise Again("the API server is away")
            if self.version > seen:
                seen = self.version
                if self.roster is not None:
                    was = self.roster
                    yield WatchEvent("MODIFIED", was)
                elif was is not None:
                    gone = Roster(Meta(name=WHO.roster, namespace=NAMESPACE, uid="r", resourceVersion=str(seen)))
                    was = None
                    yield WatchEvent("DELETED", gone)
            changed = self._changed
            if self.version == seen and not self.broken:
                await changed.wait()

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the daemon writes nothing to the API, and reads nothing else: {name}")

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


@define(eq=False)
class Memory:
    """ports.Files without a disk; full when told so."""

    files: dict[Path, bytes] = field(factory=dict)
    full: bool = False

    def read(self, path: Path) -> bytes | None:
        return self.files.get(path)

    def write(self, path: Path, content: bytes) -> None:
        if self.full:
            raise Again(f"cannot write {path}: no space left on device")
        self.files[path] = content

    overwrite = write

    def remove(self, path: Path) -> None:
        self.files.pop(path, None)


@define(eq=False)
class Instance:
    """One nvidia-imex: it reads its files at its start, is deaf to signals for 5 s after one, and is killed by early ones."""

    world: "World"
    began: float = field(factory=clock)
    resolved: dict[str, tuple[str, ...]] = field(factory=dict)
    heard: float = -1e9
    signals: int = 0
    ending: asyncio.Future[int] = field(init=False)
    exited: Exit | None = None
    index: int = -1
    nodes: bytes = b""
    excused: bool = False
    """Its end is not the daemon's doing."""
    says: Callable[[str], None] = lambda _: None

    def __attrs_post_init__(self) -> None:
        self.ending = asyncio.get_running_loop().create_future()
        self.nodes = self.world.files.files[ROOT / "imexd/nodes.cfg"]
        self.resolve()
        own = [i for i, name in enumerate(self.nodes.decode().split()) if ADDRESS in self.resolved.get(name, ())]
        assert own, "it was started before its own address was behind one of its names"
        if self.world.fails_at_start:
            self.excused = True
            self.end(1)
        else:
            self.index = own[0]

    @property
    def up(self) -> bool:
        """Its signal handlers are set and it answers."""
        return clock() - self.began >= 0.4

    @property
    def state(self) -> str:
        return "READY" if clock() - self.began >= 0.8 and not self.world.stuck else "WAITING_FOR_RECOVERY"

    def resolve(self) -> None:
        found: dict[str, tuple[str, ...]] = {}
        for line in self.world.files.files[ROOT / "etc/hosts"].decode().splitlines():
            address, *names = line.split("#")[0].split() or [""]
            for name in names:
                found[name] = (*found.get(name, ()), address)
        self.resolved = found

    def signal(self, number: int) -> None:
        if number == signal.SIGUSR1:
            self._refresh()
        elif number == signal.SIGTERM:
            self.world.asked += 1
            if not self.world.stubborn:
                asyncio.get_running_loop().call_later(0.2, self.end, 0)
        else:
            self.end(-number)

    def end(self, code: int) -> None:
        if not self.ending.done():
            self.ending.set_result(code)

    async def wait(self) -> Exit:
        code = await asyncio.shield(self.ending)
        self.exited = Exit(code, ("its last line",))
        return self.exited

    def _refresh(self) -> None:
        self.signals += 1
        if not self.up:
            self.end(-signal.SIGUSR1)
        elif clock() - self.heard >= 5.0:
            self.heard = clock()
            self.resolve()


@define(eq=False)
class World:
    """The node. Properties that must always hold are asserted where they would break."""

    api: Api = field(factory=Api)
    files: Memory = field(factory=Memory)
    fails_at_start: bool = False
    stuck: bool = False
    hanging: bool = False
    stubborn: bool = False
    instances: list[Instance] = field(factory=list)
    asked: int = 0
    daemon: ImexDaemon = field(init=False)
    life: asyncio.Task[int] | None = None

    def __attrs_post_init__(self) -> None:
        self.files.files[ROOT / "etc/hosts"] = HOSTS
        self.files.files[ROOT / "dev/termination-log"] = b""

    # ports.Processes

    async def start(self, argv, on_line: Callable[[str], None]) -> Instance:
        assert argv == ["/node/usr/bin/nvidia-imex", "-c", "/node/imexd/imexd.cfg"]
        assert self.alive is None, "there are never two at once"
        self.instances.append(Instance(self, says=on_line))
        return self.instances[-1]

    async def run(self, argv, timeout: float) -> Output | None:
        if self.hanging:
            await asyncio.sleep(timeout)
            return None
        await asyncio.sleep(0.005)
        alive = self.alive
        if "-N" in argv:
            return Output(1, "not known\n")
        return Output(0, f"{alive.state if alive and alive.up else 'UNAVAILABLE'}\n")

    # What is there.

    @property
    def alive(self) -> Instance | None:
        found = [one for one in self.instances if not one.ending.done()]
        assert len(found) <= 1
        return found[0] if found else None

    @property
    def status(self) -> dict[str, Any]:
        return json.loads(self.files.files.get(ROOT / "imexd/status.json", b"{}"))

    @property
    def last_words(self) -> str:
        return self.files.files[ROOT / "dev/termination-log"].decode()

    def addresses(self) -> list[tuple[str, ...]]:
        """Behind each line of the list, as the instance that runs resolved it."""
        assert self.alive is not None
        return [self.alive.resolved[name] for name in self.alive.nodes.decode().split()]

    def expected(self) -> list[tuple[str, ...]]:
        assert self.api.roster is not None
        at = {entry.index: (entry.ipAddress,) for entry in self.api.roster.daemons}
        return [at.get(index, EMPTY_SLOT) for index in range(SLOTS)]

    # What happens.

    def begin(self, who: Identity = WHO) -> None:
        """A new process of the daemon, over what the last one left."""
        settings = daemon_settings(who, ROOT, health_port=None, programs=Path("/node/usr/bin"))
        self.daemon = ImexDaemon(settings, self.api, self, files=self.files)
        self.life = asyncio.create_task(self.daemon.run())

    async def end(self) -> int:
        assert self.life is not None
        self.daemon.stop()
        return await self.life

    async def die(self) -> None:
        """The daemon's process is killed; the kernel ends its child."""
        assert self.life is not None
        self.life.cancel()
        await asyncio.gather(self.life, return_exceptions=True)
        for one in self.instances:
            one.excused = True
        assert self.alive is None, "no nvidia-imex is left behind"

    def crash(self) -> None:
        if self.alive is not None:
            self.alive.excused = True
            self.alive.end(134)
