"""The one thing of an IMEX domain: its roster. Given indices cannot be taken back, so it writes on live sight only."""

from collections.abc import Mapping

import attrs
from attrs import field, frozen
from msgspec.structs import replace

from nvdra.api import kinds, names
from nvdra.api.computedomain import Roster
from nvdra.api.membership import NAMED
from nvdra.api.meta import Meta
from nvdra.api.plain import plain
from nvdra.api.timestamps import rfc3339
from nvdra.core.findings import Finding
from nvdra.domains.imex_domain.facts import has_formed
from nvdra.domains.imex_domain.pace import pace_of
from nvdra.domains.imex_domain.roster import Plan, plan
from nvdra.domains.imex_domain.snapshot import ImexDomainSnapshot
from nvdra.engine.burst import Burst
from nvdra.engine.domain import Thing
from nvdra.engine.store import Store
from nvdra.errors import Again, AlreadyExists, Conflict, NotFound, Refused
from nvdra.ports import Announcer, Cluster, Json, Subject, WallClock


@frozen(eq=False)
class Ports:
    """What the handler works with."""

    cluster: Cluster
    store: Store
    announcer: Announcer
    wall: WallClock
    namespace: str = names.DRIVER_NAMESPACE
    max_nodes: int = names.MAX_NODES_PER_IMEX_DOMAIN


def things(ports: Ports) -> Mapping[str, Thing[ImexDomainSnapshot]]:
    """Every thing of imex-domain.yaml."""
    return {"roster": RosterObject(ports)}


def subject(seen: ImexDomainSnapshot) -> Subject | None:
    """The ComputeDomain as the object of an Event: people look there."""
    if seen.domain is None:
        return None
    meta = seen.domain.metadata
    return Subject(kinds.COMPUTE_DOMAINS.api_version, "ComputeDomain", meta.name, meta.namespace, meta.uid)


@frozen(eq=False)
class RosterObject:
    """The ComputeDomainClique: what a node must know of its domain, in one object with one writer."""

    ports: Ports
    burst: Burst = field(factory=Burst)

    async def present(self, seen: ImexDomainSnapshot) -> None:
        if seen.domain is None or (seen.roster is None and not seen.members):
            return
        drawn, kept = await self._drawn(seen)
        crowded = _crowded_text(seen, drawn, kept, self.ports.max_nodes) if drawn.crowded else ""
        wanted = _wanted(seen, drawn, self.ports.namespace, crowded)
        if seen.roster is not None and _same(seen.roster, wanted):
            self.burst.written(seen.name)
        else:
            self.burst.hold(seen.name, _essence(wanted), seen.now, pace_of(seen, wanted))
            await self._write(seen, wanted)
            self._tell_heirs(seen, drawn)
        if crowded:
            raise Refused(crowded, reason="CliqueFull")

    async def absent(self, seen: ImexDomainSnapshot) -> None:
        self.burst.written(seen.name)
        if seen.roster is None:
            return
        if seen.domain is None:
            await self._confirm_domain_gone(seen)
        meta = seen.roster.metadata
        await self.ports.cluster.delete(
            kinds.ROSTERS, meta.name, meta.namespace, uid=meta.uid, version=meta.resourceVersion
        )
        if not meta.finalizers:  # nobody holds it: the next look, if it is sooner than the watch, need not delete again
            self.ports.store.drop(kinds.ROSTERS, seen.roster)

    async def _write(self, seen: ImexDomainSnapshot, wanted: Roster) -> None:
        cluster, name = self.ports.cluster, seen.name
        try:
            if seen.roster is None:
                await self._confirm_remembered(seen)
                after = await cluster.create(kinds.ROSTERS, _json(wanted), self.ports.namespace)
            else:
                after = await cluster.replace(kinds.ROSTERS, name, _json(wanted), self.ports.namespace)
        except (AlreadyExists, Conflict, NotFound) as error:
            raise Again(f"the roster changed meanwhile: {error}", after=0.1) from error
        self.burst.written(name)
        self.ports.store.learn(kinds.ROSTERS, after)

    async def _confirm_remembered(self, seen: ImexDomainSnapshot) -> None:
        """The first indices, or those of a roster that was lost: they rest on what the ComputeDomain's status knows."""
        assert seen.domain is not None
        meta = seen.domain.metadata
        live = await self.ports.cluster.get(kinds.COMPUTE_DOMAINS, meta.name, meta.namespace)
        same = live.metadata.uid == meta.uid and live.metadata.deleting == meta.deleting
        if not same or _memory(attrs.evolve(seen, domain=live)) != _memory(seen):
            self.ports.store.learn(kinds.COMPUTE_DOMAINS, live)
            raise Again(f"ComputeDomain {meta.path} is not as we saw it", after=0.1)

    async def _drawn(self, seen: ImexDomainSnapshot) -> tuple[Plan, Mapping[str, str]]:
        """The plan, and the retired nodes that keep their index, with the reason: one of them holds up nobody else."""
        now = rfc3339(self.ports.wall())
        kept: dict[str, str] = {}
        while True:
            drawn = plan(seen, self.ports.max_nodes, now, kept)
            asked = {gone.nodeName: await self._why_kept(seen, gone.nodeName) for gone in drawn.taken_over.values()}
            if not any(asked.values()):
                return drawn, kept
            kept |= {node: why for node, why in asked.items() if why}

    async def _why_kept(self, seen: ImexDomainSnapshot, node: str) -> str:
        """Why a retired node's index may not go to another, from a live read; "" when node and daemon are gone."""
        labels = f"{names.DOMAIN_LABEL}={seen.uid}"
        pods = await self.ports.cluster.list(kinds.PODS, self.ports.namespace, labels=labels)
        if any(pod.node == node for pod in pods.items):
            return "whose IMEX daemon pod is still there: wait for it to go, or delete it"
        try:
            live = await self.ports.cluster.get(kinds.NODES, node)
        except NotFound:
            return ""
        there = live.metadata.labels.get(names.DOMAIN_LABEL) == seen.uid
        return "which carries the domain's label again" if there else ""

    def _tell_heirs(self, seen: ImexDomainSnapshot, drawn: Plan) -> None:
        about = subject(seen)
        if about is None:
            return
        for heir, gone in drawn.taken_over.items():
            text = f"{heir} takes index {gone.index} of {gone.nodeName}, retired since {gone.since}: none was unused"
            self.ports.announcer.tell(about, "IndexTakenOver", text, warning=True)

    async def _confirm_domain_gone(self, seen: ImexDomainSnapshot) -> None:
        living = await self.ports.cluster.list(kinds.COMPUTE_DOMAINS)
        for domain in living.items:
            if domain.metadata.uid == seen.uid:
                self.ports.store.learn(kinds.COMPUTE_DOMAINS, domain)
                raise Again(f"ComputeDomain {domain.metadata.path} exists, our view was behind", after=0.2)


def _wanted(seen: ImexDomainSnapshot, drawn: Plan, namespace: str, crowded: str) -> Roster:
    formed = has_formed(seen)
    ready = all(entry.status == "Ready" for entry in drawn.entries)
    labels = {names.DOMAIN_LABEL: seen.uid, names.CLIQUE_LABEL: seen.clique}
    before = seen.roster.metadata if seen.roster else None
    return Roster(
        metadata=Meta(
            name=seen.name,
            namespace=namespace,
            labels={name: value for name, value in labels.items() if value},
            uid=before.uid if before else "",
            resourceVersion=before.resourceVersion if before else "",
        ),
        computeDomain=f"{seen.domain.metadata.path}" if seen.domain else "",
        cliqueID=seen.clique,
        formed=formed.holds,
        status="Ready" if formed.holds and ready and drawn.entries else "NotReady",
        message=crowded or _message(seen, drawn, formed),
        daemons=drawn.entries,
        retired=drawn.retired,
    )


def _memory(seen: ImexDomainSnapshot) -> tuple[object, object] | None:
    known = seen.remembered
    return (known.members, known.retired) if known and (known.members or known.retired) else None


def _message(seen: ImexDomainSnapshot, drawn: Plan, formed: Finding) -> str:
    if not formed.holds:
        return formed.because
    late = [f"{entry.nodeName} {entry.message}" for entry in drawn.entries if entry.status != "Ready"]
    count = len(seen.members)
    return f"waiting for {'; '.join(late[:3])}" if late else f"{count} of {count} nodes are ready"


def _crowded_text(seen: ImexDomainSnapshot, drawn: Plan, kept: Mapping[str, str], limit: int) -> str:
    rest = len(drawn.crowded) - NAMED
    some = ", ".join(drawn.crowded[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
    late = f"{some} cannot join: clique {seen.clique}"
    if kept:
        held = "; ".join(f"{node}, {why}" for node, why in sorted(kept.items())[:3])
        return f"{late} has {limit} indices, and the last are kept for nodes that left: {held}"
    return (
        f"{late} has {limit} nodes already, the most that an IMEX domain may have."
        " Run fewer workers in this clique, or raise maxNodesPerImexDomain if your fabric allows it"
    )


def _same(a: Roster, b: Roster) -> bool:
    return (
        _essence(a) == _essence(b) and a.retired == b.retired and b.metadata.labels.items() <= a.metadata.labels.items()
    )


def _essence(roster: Roster) -> Roster:
    """Without the metadata, and without the time stamps of retirement."""
    return replace(roster, metadata=Meta(), retired=tuple(replace(r, since="") for r in roster.retired))


def _json(roster: Roster) -> Json:
    body = plain(roster)
    kept = ("name", "namespace", "labels", "uid", "resourceVersion")
    body["metadata"] = {name: body["metadata"][name] for name in kept if body["metadata"][name]}
    return {"apiVersion": kinds.ROSTERS.api_version, "kind": kinds.ROSTERS.kind, **body}
