"""The status of a ComputeDomain: computed here, written here, by nobody else and in one patch."""

from collections.abc import Iterable

from attrs import field, frozen
from msgspec.structs import replace

from nvdra.api import kinds
from nvdra.api.computedomain import ComputeDomain, ComputeDomainStatus, DomainNode, ImexDomainStatus, Roster
from nvdra.api.membership import IN_TROUBLE, NAMED, WAITING, Member, waiting_text
from nvdra.api.meta import Condition, Meta
from nvdra.api.plain import plain
from nvdra.api.timestamps import rfc3339
from nvdra.domains.compute_domain.facts import FORMED
from nvdra.domains.compute_domain.snapshot import ComputeDomainSnapshot
from nvdra.domains.compute_domain.things import Ports
from nvdra.engine.burst import AT_ONCE, Burst, Pace
from nvdra.engine.domain import Told
from nvdra.errors import Forbidden, NotFound, Refused
from nvdra.ports import WallClock

MAX_LISTED_NODES = 2000
"""Above, the status lists IMEX domains only: one object has 1.5 MB, and every update goes to every watcher."""
LONGEST_MESSAGE = 32768
"""The API takes no longer one, and with it nothing of the whole status."""
CALM = Pace(quiet=1.0, limit=3.0)


@frozen(eq=False)
class StatusReport:
    """Writes `status` when it differs. News that somebody waits for goes out at once, the rest in bursts."""

    ports: Ports
    wall: WallClock
    burst: Burst = field(factory=Burst)

    async def report(self, seen: ComputeDomainSnapshot, told: Told) -> None:
        domain = seen.domain
        if domain is None or told.leaf.final:
            self.burst.written(seen.uid)
            return
        wanted = wanted_status(seen, told, rfc3339(self.wall()))
        path = domain.metadata.uid
        if wanted == domain.status:
            self.burst.written(path)
            return
        self.burst.hold(path, _essence(wanted), seen.now, AT_ONCE if _urgent(domain.status, wanted) else CALM)
        meta = self._newest(domain)
        if meta is None:
            return  # gone, or changed under our hands: we were woken to look again
        # the latch and the memory of indices are in it: nobody whose view is old may write over them
        patch = {
            "metadata": {"uid": meta.uid, "resourceVersion": meta.resourceVersion},
            "status": _json(domain.status, wanted),
        }
        try:
            after = await self.ports.cluster.patch(
                kinds.COMPUTE_DOMAINS, meta.name, patch, meta.namespace, subresource="status"
            )
        except NotFound:
            return
        self.burst.written(path)
        self.ports.store.learn(kinds.COMPUTE_DOMAINS, after)

    def _newest(self, domain: ComputeDomain) -> Meta | None:
        """Our own write of the finalizer, a moment ago, made a new version; its status is still what we looked at."""
        now = self.ports.store.get(kinds.COMPUTE_DOMAINS, domain.metadata.path)
        same = now is not None and now.metadata.uid == domain.metadata.uid and now.status == domain.status
        return now.metadata if now is not None and same else None


def wanted_status(seen: ComputeDomainSnapshot, told: Told, now: str) -> ComputeDomainStatus:
    """The whole status as it should be. `now`: RFC 3339, used for conditions that change."""
    assert seen.domain is not None
    old = seen.domain.status
    indices = {entry.nodeName: entry.index for roster in seen.rosters for entry in roster.daemons}
    wanted = max(seen.wanted_nodes, len(seen.members)) if seen.wanted_nodes else len(seen.members)
    domains = tuple(_imex_domains(seen, old.imexDomains))
    return ComputeDomainStatus(
        status=told.word or "NotReady",
        nodes=tuple(_nodes(seen.members, indices)) if len(seen.members) <= MAX_LISTED_NODES else (),
        imexDomains=domains,
        imexDomainCount=len([d for d in domains if d.nodes]),
        conditions=tuple(_dated(c, seen.domain, now) for c in _conditions(seen, told)),
        nodesReady=f"{seen.ready_nodes}/{wanted}",
        observedGeneration=seen.domain.metadata.generation,
    )


def _nodes(members: Iterable[Member], indices: dict[str, int]) -> Iterable[DomainNode]:
    for member in members:
        yield DomainNode(
            name=member.name,
            claim=member.claim,
            ipAddress=member.address,
            cliqueID=member.clique,
            index=indices.get(member.name, -1) if member.fabric else -1,
            status="Ready" if member.ready else "NotReady",
        )


def _imex_domains(seen: ComputeDomainSnapshot, old: Iterable[ImexDomainStatus]) -> Iterable[ImexDomainStatus]:
    """One entry a clique; indices come from the roster, or stay as they were while the roster is missing."""
    rosters = {roster.cliqueID: roster for roster in seen.rosters}
    before = {entry.cliqueID: entry for entry in old}
    by_clique: dict[str, list[Member]] = {}
    for member in seen.members:
        by_clique.setdefault(member.clique, []).append(member)
    cliques = {*by_clique, *rosters, *before}
    for clique in sorted(clique for clique in cliques if clique):
        members = by_clique.get(clique, [])
        ready = sum(member.ready for member in members)
        known = before.get(clique, ImexDomainStatus(clique))
        roster = rosters.get(clique)
        yield ImexDomainStatus(
            cliqueID=clique,
            nodes=len(members),
            ready=ready,
            status="Ready" if members and ready == len(members) else "NotReady",
            message=_clique_message(members, ready),
            members=_by_index(roster) if roster else known.members,
            retired=roster.retired if roster else known.retired,
        )


def _clique_message(members: list[Member], ready: int) -> str:
    late = next((f"{m.name} {m.why}" for m in members if not m.ready), "")
    return f"{ready} of {len(members)} IMEX daemons are ready" + (f": {late}" if late else "")


def _by_index(roster: Roster) -> tuple[str, ...]:
    held = {entry.index: entry.nodeName for entry in roster.daemons if entry.index >= 0}
    return tuple(held.get(index, "") for index in range(max(held, default=-1) + 1))


def _conditions(seen: ComputeDomainSnapshot, told: Told) -> Iterable[Condition]:
    leaf = told.leaf.name.split(".")[-1]
    refused = next((e for e in told.troubles.values() if isinstance(e, Refused | Forbidden)), None)
    troubles = "; ".join(str(error) for error in told.troubles.values())
    message = troubles or told.waiting_for or _ready_message(seen, told)
    ready = told.word == "Ready"
    yield Condition("Ready", str(ready), refused.reason if refused and not ready else leaf, message)
    formed = told.holds("formed")
    late = IN_TROUBLE if any(member.in_trouble for member in seen.members) else WAITING
    yield Condition(FORMED, str(formed), "Formed" if formed else late, told.because("formed"))
    provisioned = told.holds("templated") and told.holds("daemonised")
    why = troubles or "; ".join(told.because(f) for f in ("templated", "daemonised") if not told.holds(f))
    yield Condition(
        "Provisioned",
        str(provisioned),
        "Provisioned" if provisioned else refused.reason if refused else leaf,
        why or "claim templates and DaemonSet exist",
    )
    yield _cliques_agree(seen)
    yield _peers_connected(seen)
    full = [roster.message for roster in seen.rosters if any(e.index < 0 and e.cliqueID for e in roster.daemons)]
    yield Condition(
        "IndicesAvailable",
        str(not full),
        "CliqueFull" if full else "Available",
        "; ".join(full) or "every node with a fabric has its index",
    )


def _cliques_agree(seen: ComputeDomainSnapshot) -> Condition:
    """A node alone without a clique is seldom meant: its workers get no channel, and share memory with nobody."""
    wrong = [member.trouble for member in seen.members if member.trouble]
    lacking = [member.name for member in seen.members if not member.fabric]
    mixed = bool(lacking) and len(lacking) < len(seen.members)
    if mixed:
        some = ", ".join(lacking[:NAMED])
        wrong.append(
            f"{some} has no NVLink clique while other nodes of this domain have one, so its workers get no channel:"
            " look at Fabric in nvidia-smi -q there, or keep this domain's workers off it"
        )
    return Condition(
        "CliquesAgree",
        str(not wrong),
        "NoClique" if mixed else "CliqueMismatch" if wrong else "Agree",
        "; ".join(wrong[:NAMED]) or "every node's clique is what NVML and its labels say",
    )


def _peers_connected(seen: ComputeDomainSnapshot) -> Condition:
    """Readiness is each daemon's own; whom a ready one does not reach is said here."""
    worried = [f"{member.name} {member.worry}" for member in seen.members if member.worry]
    return Condition(
        "PeersConnected",
        str(not worried),
        "PeersUnreachable" if worried else "Connected",
        "; ".join(worried[:NAMED]) or "no IMEX daemon misses a peer",
    )


def _ready_message(seen: ComputeDomainSnapshot, told: Told) -> str:
    if not told.holds("all_ready"):
        return told.because("all_ready")
    waiting = waiting_text(seen.wanted_nodes, seen.members)
    return waiting if waiting and not told.holds("formed") else f"all nodes that joined are ready: {len(seen.members)}"


def _dated(condition: Condition, domain: ComputeDomain, now: str) -> Condition:
    before = domain.condition(condition.type)
    since = before.lastTransitionTime if before and before.status == condition.status else now
    message = condition.message[:LONGEST_MESSAGE]
    return replace(condition, message=message, lastTransitionTime=since, observedGeneration=domain.metadata.generation)


def _urgent(old: ComputeDomainStatus, new: ComputeDomainStatus) -> bool:
    """Somebody waits for it: the word, the latch, or a clique's readiness."""

    def latches(status: ComputeDomainStatus) -> list[tuple[str, str, str]]:
        ready = [(c.type, c.status, c.reason) for c in status.conditions if c.type == "Ready"]
        return [*ready, *((c.type, c.status, "") for c in status.conditions if c.type == FORMED)]

    before, after = ({(node.name, node.claim) for node in status.nodes} for status in (old, new))
    all_new = bool(before and after) and before.isdisjoint(after)  # what was remembered is not theirs
    return old.status != new.status or latches(old) != latches(new) or all_new


def _essence(status: ComputeDomainStatus) -> ComputeDomainStatus:
    """Without the time stamps, which differ at every look."""
    return replace(status, conditions=tuple(replace(c, lastTransitionTime=None) for c in status.conditions))


def _json(old: ComputeDomainStatus, new: ComputeDomainStatus) -> dict[str, object]:
    """Only the fields that differ: a merge patch replaces lists whole."""
    return {name: value for name, value in plain(new).items() if getattr(old, name) != getattr(new, name)}
