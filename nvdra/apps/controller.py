"""`nvdra controller`: ComputeDomains and their IMEX domains. One leads; the others only watch the Lease."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from nvdra.adapters.http.server import Answer, Handler, HttpServer, Request
from nvdra.adapters.kube.election import Election, Terms, identity_of
from nvdra.adapters.kube.events import EventAnnouncer
from nvdra.adapters.kube.reflector import Reflector
from nvdra.api import kinds, names
from nvdra.apps import statecharts
from nvdra.apps.blindness import Blindness
from nvdra.apps.farewells import Farewells
from nvdra.domains.compute_domain import facts as domain_facts
from nvdra.domains.compute_domain import snapshot as domain_snapshot
from nvdra.domains.compute_domain import things as domain_things
from nvdra.domains.compute_domain.manifests import DaemonSettings
from nvdra.domains.compute_domain.status import StatusReport
from nvdra.domains.imex_domain import facts as imex_facts
from nvdra.domains.imex_domain import snapshot as imex_snapshot
from nvdra.domains.imex_domain import things as imex_things
from nvdra.engine.domain import Domain
from nvdra.engine.engine import Engine
from nvdra.engine.recorder import Meter, NoMeter, Recorder
from nvdra.ports import Announcer, Cluster, Subject

log = logging.getLogger(__name__)
BACKOFF_LIMIT = 300.0


@frozen
class ControllerSettings:
    """What the administrator decides."""

    pod_name: str = "nvdra-controller"
    daemons: DaemonSettings = field(factory=DaemonSettings)
    elect: bool = False
    terms: Terms = field(factory=Terms)
    lease_name: str = "nvidia-compute-domain-controller"
    http_host: str = ""
    http_port: int | None = None
    metrics: Mapping[str, Handler] = field(factory=dict)
    statecharts: Path | None = None
    workers: int = 8


@define(eq=False)
class Controller:
    """One controller process (or one of many in a test)."""

    cluster: Cluster
    lease_cluster: Cluster | None = field(default=None, kw_only=True)
    settings: ControllerSettings = field(factory=ControllerSettings)
    meter: Meter = field(factory=NoMeter)
    wall: Callable[[], float] = time.time
    watch_engine: Callable[[Engine], None] = lambda _: None
    engine: Engine | None = field(default=None, init=False)
    reflectors: list[Reflector[Any]] = field(factory=list, init=False)
    election: Election | None = field(default=None, init=False)

    async def run(self) -> None:
        """Serve health and metrics; lead when it is our turn; end when cancelled."""
        server = HttpServer(self._routes())
        if self.settings.http_port is not None:
            await server.start(self.settings.http_host, self.settings.http_port)
        try:
            if not self.settings.elect:
                await self.lead()
                return
            await self._elected()
        finally:
            await server.stop()

    async def _elected(self) -> None:
        settings = self.settings
        self.election = Election(
            self.lease_cluster or self.cluster,  # its own: a renewal must not queue behind a burst
            settings.lease_name,
            settings.daemons.namespace,
            identity_of(settings.pod_name),
            settings.terms,
            wall=self.wall,
        )
        await self.election.lead(self.lead)

    async def lead(self) -> None:
        """Watch the world and settle what is in it, until cancelled."""
        clock = asyncio.get_running_loop().time
        announcer = EventAnnouncer(self.cluster, "nvdra-controller", self.settings.pod_name, wall=self.wall)
        engine = Engine(clock, Recorder(self.meter))
        self.engine = engine
        self.watch_engine(engine)
        farewells = Farewells(self.cluster, kinds.RESOURCE_CLAIMS.at(self.settings.daemons.resource_version), announcer)
        self._bind(engine, announcer, farewells)
        self.reflectors = self._reflectors(engine)
        async with asyncio.TaskGroup() as group:
            group.create_task(announcer.run())
            group.create_task(farewells.run())
            for reflector in self.reflectors:
                group.create_task(reflector.run())
            group.create_task(Blindness(self.reflectors, engine.store, announcer).run())
            group.create_task(engine.run(self.settings.workers))

    def _bind(self, engine: Engine, announcer: Announcer, farewells: Farewells) -> None:
        daemons, override = self.settings.daemons, self.settings.statecharts
        domain_snapshot.declare(engine.store)
        imex_snapshot.declare(engine.store)
        domain_ports = domain_things.Ports(self.cluster, engine.store, farewells.deleted, daemons)
        imex_ports = imex_things.Ports(
            self.cluster, engine.store, announcer, self.wall, daemons.namespace, daemons.max_nodes
        )
        engine.add(
            Domain(
                domain_snapshot.KIND,
                statecharts.interpreter(domain_snapshot.KIND, override),
                domain_facts.FACTS,
                domain_things.things(domain_ports),
                domain_snapshot.View(daemons.network_policy).observe,
                StatusReport(domain_ports, self.wall),
                title=lambda seen: seen.domain.metadata.path if seen.domain else "",
                rest=domain_snapshot.rest,
                backoff_limit=BACKOFF_LIMIT,
                announce=_teller(announcer, domain_things.subject),
            )
        )
        engine.add(
            Domain(
                imex_snapshot.KIND,
                statecharts.interpreter(imex_snapshot.KIND, override),
                imex_facts.FACTS,
                imex_things.things(imex_ports),
                imex_snapshot.observe,
                title=lambda seen: (
                    f"{seen.domain.metadata.path if seen.domain else seen.uid} {seen.clique or 'no fabric'}"
                ),
                backoff_limit=BACKOFF_LIMIT,
                announce=_teller(announcer, imex_things.subject),
            )
        )

    def _reflectors(self, engine: Engine) -> list[Reflector[Any]]:
        own = self.settings.daemons.namespace
        version = self.settings.daemons.resource_version
        label = names.DOMAIN_LABEL
        cluster, store = self.cluster, engine.store
        policies = [Reflector(cluster, kinds.NETWORK_POLICIES, store, namespace=own, labels=label)]
        return [
            Reflector(cluster, kinds.COMPUTE_DOMAINS, store),
            Reflector(cluster, kinds.NODES, store, labels=label),
            Reflector(cluster, kinds.PODS, store, namespace=own, labels=label),
            Reflector(cluster, kinds.DAEMON_SETS, store, namespace=own, labels=label),
            Reflector(cluster, kinds.ROSTERS, store, namespace=own),
            Reflector(cluster, kinds.CLAIM_TEMPLATES.at(version), store, labels=label),
            Reflector(cluster, kinds.RESOURCE_SLICES.at(version), store, fields=f"spec.driver={names.CD_DRIVER}"),
            *(policies if self.settings.daemons.network_policy else ()),
        ]

    def _routes(self) -> Mapping[str, Handler]:
        async def healthz(_: Request) -> Answer:
            return Answer(200, b"ok\n")

        async def readyz(_: Request) -> Answer:
            late = [f"{r.kind.plural}: {r.trouble}" for r in self.reflectors if r.trouble]
            return Answer(503, "\n".join([*late, ""]).encode()) if late else Answer(200, b"ok\n")

        return {"/healthz": healthz, "/readyz": readyz, "/livez": healthz, **self.settings.metrics}


def _teller(announcer: Announcer, subject: Callable[[Any], Subject | None]) -> Callable[[Any, str, str], None]:
    """Announcements become Events about the domain's subject; what went wrong or takes long is a Warning."""
    good = ("ComputeDomainReady", "ImexDomainReady")

    def tell(seen: Any, reason: str, message: str) -> None:
        about = subject(seen)
        if about is not None:
            announcer.tell(about, reason, message, warning=reason not in good)

    return tell
