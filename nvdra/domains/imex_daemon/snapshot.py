"""What one settle of an IMEX daemon may look at, and how it is taken from the store. Pure."""

import ipaddress
from collections.abc import Callable, Mapping

from attrs import field, frozen

from nvdra.api import names
from nvdra.api.computedomain import ROSTERS, Roster, RosterEntry
from nvdra.api.kind import Local
from nvdra.domains.imex_daemon.symptoms import Ended
from nvdra.domains.imex_daemon.views import DomainView
from nvdra.engine.queue import Key
from nvdra.engine.store import Store

KIND = "imex-daemon"
Addresses = Mapping[str, tuple[str, ...]]
"""Names of IMEX's list and the addresses behind each; none is an empty slot."""


@frozen
class Identity:
    """Who this daemon is: from the downward API and from the CDI edits of its claim; it never changes.

    `addresses`: the pod's own, the first one IMEX is bound to. `config`: what imexd.cfg shall be.
    `wanted`: numNodes, which only old drivers need. `title`: the ComputeDomain as people know it.
    """

    domain: str
    clique: str
    node: str
    addresses: tuple[str, ...]
    namespace: str
    slots: int = names.MAX_NODES_PER_IMEX_DOMAIN
    wanted: int = 0
    driver: str = ""
    config: bytes = b""
    title: str = ""

    @property
    def roster(self) -> str:
        """The name of the one object that is followed."""
        return names.roster_name(self.domain, self.clique)


@frozen
class Life:
    """nvidia-imex as its supervisor knows it: the `number`th one, or the pause before the next.

    `index` and `told`: its place, and the addresses that it has read. `failures`: ends without a good run between;
    `due`: when it may be started again.
    """

    running: bool = False
    number: int = 0
    pid: int | None = None
    began: float = 0.0
    index: int = -1
    told: Addresses = field(factory=dict)
    told_at: float | None = None
    ends: tuple[Ended, ...] = ()
    failures: int = 0
    due: float = 0.0
    path: str = "imex"


@frozen
class Reading:
    """The last answer to `nvidia-imex-ctl -q`, of the `number`th nvidia-imex. `ready_at`: when it last said READY."""

    number: int
    state: str
    ready_at: float | None = None
    trouble: str = ""
    path: str = "imex"


@frozen
class Sight:
    """The last answer to `nvidia-imex-ctl -N`; None: not known."""

    number: int
    view: DomainView | None
    path: str = "imex"


@frozen
class Disk:
    """The files that nvidia-imex reads, as they are; None is absent."""

    config: bytes | None = None
    nodes: bytes | None = None
    hosts: bytes | None = None
    path: str = "imex"


@frozen
class Stop:
    """The pod is asked to end."""

    path: str = "stop"


LIVES = Local(Life, "lives")
READINGS = Local(Reading, "imex-readings")
SIGHTS = Local(Sight, "imex-sights")
DISKS = Local(Disk, "disks")
STOPS = Local(Stop, "stops")


@frozen
class ImexDaemonSnapshot:
    """One daemon. `trouble`: why the roster is not up to date; "" when it is."""

    identity: Identity
    now: float
    stopping: bool = False
    roster: Roster | None = None
    trouble: str = ""
    life: Life = field(factory=Life)
    reading: Reading | None = None
    sight: Sight | None = None
    disk: Disk = field(factory=Disk)

    @property
    def entry(self) -> RosterEntry | None:
        """This node's own entry."""
        return self.roster.entry(self.identity.node) if self.roster else None

    @property
    def members(self) -> tuple[RosterEntry, ...]:
        """Every entry that has a place in IMEX's list."""
        daemons = self.roster.daemons if self.roster else ()
        return tuple(entry for entry in daemons if 0 <= entry.index < self.identity.slots)

    @property
    def current_reading(self) -> Reading | None:
        """The last answer, if it is of the nvidia-imex that runs."""
        fits = self.reading is not None and self.life.running and self.reading.number == self.life.number
        return self.reading if fits else None

    @property
    def current_view(self) -> DomainView | None:
        """What the nvidia-imex that runs sees of its peers, if that is known."""
        fits = self.sight is not None and self.life.running and self.sight.number == self.life.number
        return self.sight.view if fits and self.sight else None


@frozen
class View:
    """How snapshots are taken. `trouble` tells why the roster is not up to date."""

    identity: Identity
    trouble: Callable[[], str]

    def observe(self, store: Store, key: Key, now: float) -> ImexDaemonSnapshot:
        """Freeze the view."""
        return ImexDaemonSnapshot(
            identity=self.identity,
            now=now,
            stopping=store.get(STOPS, "stop") is not None,
            roster=store.get(ROSTERS, f"{self.identity.namespace}/{self.identity.roster}"),
            trouble=self.trouble(),
            life=store.get(LIVES, "imex") or Life(),
            reading=store.get(READINGS, "imex"),
            sight=store.get(SIGHTS, "imex"),
            disk=store.get(DISKS, "imex") or Disk(),
        )


def declare(store: Store, key: Key) -> None:
    """Everything that this process knows concerns its one key."""
    for sort in (ROSTERS, LIVES, READINGS, SIGHTS, DISKS, STOPS):
        store.concern(sort, lambda _: [key])


def same_address(one: str, other: str) -> bool:
    """Whether two texts are one address; IPv6 has many spellings."""
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one == other
