"""What an IMEX daemon keeps present and absent: nvidia-imex's files, its process, and what it was told."""

from collections.abc import Mapping
from typing import Final

import attrs
from attrs import field, frozen

from nvdra.domains.imex_daemon.child import Child
from nvdra.domains.imex_daemon.facts import unlisted, why_ended
from nvdra.domains.imex_daemon.files import Paths, addresses_of, wanted_hosts, wanted_nodes
from nvdra.domains.imex_daemon.snapshot import DISKS, Disk, ImexDaemonSnapshot
from nvdra.domains.imex_daemon.views import NO_ANSWER
from nvdra.engine.burst import Burst, Pace
from nvdra.engine.domain import Thing
from nvdra.engine.store import Store
from nvdra.errors import Again
from nvdra.ports import Clock, Files

DEAF: Final = 5.2
"""nvidia-imex loses a SIGUSR1 within 5 s of the last one that it took; a little more, for signals on their way."""
GRACE: Final = 20.0
"""From SIGTERM to SIGKILL; the pod has 30 s."""
PACE: Final = Pace(0.3, 1.5)
"""Nodes join in bursts: one signal after the burst, not one in the middle and then 5 s of deafness."""
UP: Final = 0.3
_NOT_UP: Final = frozenset({NO_ANSWER, "UNAVAILABLE"})


@frozen(eq=False)
class Ports:
    """What the handlers work with."""

    store: Store
    files: Files
    paths: Paths
    child: Child
    clock: Clock
    grace: float = GRACE
    burst: Burst = field(factory=Burst)


def things(ports: Ports) -> Mapping[str, Thing[ImexDaemonSnapshot]]:
    """Every thing of imex-daemon.yaml."""
    return {"config": Config(ports), "hosts": Hosts(ports), "process": ImexProcess(ports), "signal": Signal(ports)}


def look_at_disk(ports: Ports) -> None:
    """The files as they are when this process begins."""
    read, paths = ports.files.read, ports.paths
    ports.store.put(DISKS, Disk(read(paths.config), read(paths.nodes), read(paths.hosts)))


class _OneWay:
    """Things that are only ever ordered present: they end with the pod."""

    async def absent(self, seen: ImexDaemonSnapshot) -> None:
        raise AssertionError("never ordered")  # pragma: no cover - the statechart has no such order


@frozen(eq=False)
class Config(_OneWay):
    """imexd.cfg and nodes.cfg: read once by nvidia-imex, at its start."""

    ports: Ports

    async def present(self, seen: ImexDaemonSnapshot) -> None:
        files, paths, store = self.ports.files, self.ports.paths, self.ports.store
        nodes = wanted_nodes(seen)
        if files.read(paths.nodes) != nodes:
            files.write(paths.nodes, nodes)
        if files.read(paths.config) != seen.identity.config:
            files.write(paths.config, seen.identity.config)
        store.put(DISKS, attrs.evolve(_disk(store), config=seen.identity.config, nodes=nodes))


@frozen(eq=False)
class Hosts(_OneWay):
    """The addresses behind IMEX's names, in the pod's hosts file. They stay as they are while we are not listed."""

    ports: Ports

    async def present(self, seen: ImexDaemonSnapshot) -> None:
        if not _in_place(seen):
            return
        files, path, store = self.ports.files, self.ports.paths.hosts, self.ports.store
        before = files.read(path)
        wanted = wanted_hosts(seen, before)
        if wanted is not None and wanted != before:
            files.overwrite(path, wanted)
        store.put(DISKS, attrs.evolve(_disk(store), hosts=wanted))


@frozen(eq=False)
class ImexProcess:
    """nvidia-imex itself."""

    ports: Ports

    async def present(self, seen: ImexDaemonSnapshot) -> None:
        child, entry = self.ports.child, seen.entry
        life = child.life
        if life.running or seen.life.running or entry is None:
            return
        pause = life.due - self.ports.clock()
        if pause > 0:
            raise Again(why_ended(seen), after=pause)
        await child.start(entry.index, addresses_of(seen))

    async def absent(self, seen: ImexDaemonSnapshot) -> None:
        child = self.ports.child
        if not child.life.running:
            return
        if child.asked_at is None:
            child.ask()
        left = child.asked_at + self.ports.grace - self.ports.clock() if child.asked_at is not None else 0.0
        if left > 0:
            raise Again("nvidia-imex says goodbye to its peers", after=left)
        child.kill()


@frozen(eq=False)
class Signal(_OneWay):
    """The word to nvidia-imex that addresses changed. One that it would lose waits until it listens again."""

    ports: Ports

    async def present(self, seen: ImexDaemonSnapshot) -> None:
        child, wanted, now = self.ports.child, addresses_of(seen), self.ports.clock()
        life = child.life
        if not life.running or not _in_place(seen) or life.told == wanted:
            self.ports.burst.written(seen.identity.roster)
            return
        written = _disk(self.ports.store).hosts
        if written != wanted_hosts(seen, written):
            raise Again("the hosts file is not written yet")
        reading = seen.current_reading
        if reading is None or (reading.state in _NOT_UP and reading.ready_at is None):
            # a signal before it has set its handlers would kill it
            raise Again("nvidia-imex does not answer yet, so it is not signalled", after=UP)
        self.ports.burst.hold(seen.identity.roster, tuple(wanted.items()), now, PACE)
        deaf = life.told_at + DEAF - now if life.told_at is not None else 0.0
        if deaf > 0:
            raise Again("nvidia-imex was told of addresses just now; it is told again when it listens", after=deaf)
        child.tell(wanted)
        self.ports.burst.written(seen.identity.roster)


def _in_place(seen: ImexDaemonSnapshot) -> bool:
    """Whether the roster lists us as we are; what else it says is then to be followed."""
    return not unlisted(seen)


def _disk(store: Store) -> Disk:
    return store.get(DISKS, "imex") or Disk()
