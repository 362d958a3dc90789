"""From what was read to the account of it. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from attrs import define, evolve

from nvdra.api import kinds, names
from nvdra.api.computedomain import ComputeDomain
from nvdra.api.membership import Member
from nvdra.api.meta import Condition
from nvdra.api.objects import Pod
from nvdra.domains.compute_domain import snapshot as domain_snapshot
from nvdra.domains.imex_domain import snapshot as imex_snapshot
from nvdra.engine.queue import Key
from nvdra.explain.account import Account, EventTold, LifeTold, NodeTold, PodTold
from nvdra.explain.details import claim_told, condition_told, event_told, since, since_ready, stands, texts_of
from nvdra.explain.faults import todo_of
from nvdra.explain.guard import guard_told
from nvdra.explain.lives import Rules
from nvdra.explain.sight import Sight

MOST_EVENTS = 4
"""So many Events a pod are shown, newest first; its history is `kubectl describe`'s."""
USUAL = frozenset({"Scheduled", "Pulled", "Created", "Started", "SuccessfulCreate", "Pulling"})


@define
class Telling:
    """One account in the making. `rules`: by the statechart's name."""

    sight: Sight
    rules: Mapping[str, Rules]

    @property
    def domain(self) -> ComputeDomain:
        """The ComputeDomain."""
        return self.sight.domain

    def account(self) -> Account:
        """All of it."""
        sight, meta = self.sight, self.domain.metadata
        snapshot = domain_snapshot.View().observe(sight.store, Key(domain_snapshot.KIND, meta.uid), 0.0)
        ready = self.domain.condition("Ready")
        lives = (self._life(snapshot, ready), *self._cliques())
        nodes = tuple(self._nodes(snapshot.members))
        unplaced = tuple(self._pod(pod) for pod in sight.workers if not pod.node)
        conditions = tuple(condition_told(c) for c in self.domain.status.conditions)
        events = self._events(meta.uid, everything=True)
        waits = ready.message if ready is not None and ready.status != "True" else "; ".join(lives[0].waits)
        return Account(
            domain=meta.path,
            uid=meta.uid,
            status="Terminating" if meta.deleting else self.domain.status.status,
            since=since(self.domain, ready),
            now=sight.now,
            waits=waits,
            todo=todo_of(texts_of(waits, conditions, nodes, unplaced, events)),
            conditions=conditions,
            lives=lives,
            guard=self._guard(snapshot),
            nodes=nodes,
            unplaced=unplaced,
            events=events,
            unread=tuple(f"{kind}: {why}" for kind, why in sight.unread.items()),
        )

    def _life(self, snapshot: domain_snapshot.ComputeDomainSnapshot, ready: Condition | None) -> LifeTold:
        subject = f"ComputeDomain {self.domain.metadata.path}"
        told = self.rules[domain_snapshot.KIND].life_of(snapshot, subject, ready.reason if ready else "")
        return evolve(told, since=since(self.domain, ready))

    def _guard(self, snapshot: domain_snapshot.ComputeDomainSnapshot) -> str:
        if kinds.NETWORK_POLICIES.kind in self.sight.unread:
            return "not known: its network policy could not be read"
        return guard_told(snapshot)

    def _cliques(self) -> Iterable[LifeTold]:
        store, uid = self.sight.store, self.domain.metadata.uid
        for key in sorted(imex_snapshot.keys_of(store, uid, self.domain)):
            seen = imex_snapshot.observe(store, key, 0.0)
            subject = f"clique {seen.clique}" if seen.clique else "nodes without a fabric"
            stays = [m.pod for m in seen.members if not m.ready]
            told = self.rules[imex_snapshot.KIND].life_of(seen, subject)
            yield evolve(told, since=min(filter(None, map(self._unready_since, stays)), default=""))

    def _unready_since(self, name: str) -> str:
        pod = self.sight.store.get(kinds.PODS, f"{self.sight.namespace}/{name}")
        return next((c.lastTransitionTime or "" for c in pod.status.conditions if c.type == "Ready"), "") if pod else ""

    # Nodes and pods.

    def _nodes(self, members: Sequence[Member]) -> Iterable[NodeTold]:
        joined = {member.name: member for member in members}
        placed = {pod.node for pod in self.sight.workers if pod.node}
        for name in sorted({*joined, *placed}):
            yield self._node(name, joined.get(name))

    def _node(self, name: str, member: Member | None) -> NodeTold:
        sight, uid = self.sight, self.domain.metadata.uid
        entries = [(roster, roster.entry(name)) for roster in sight.store.find(kinds.ROSTERS, "domain", uid)]
        roster, entry = next(((r, e) for r, e in entries if e is not None), (None, None))
        daemons = [p for p in sight.own_pods if p.node == name and p.metadata.labels.get(names.DOMAIN_LABEL) == uid]
        return NodeTold(
            name=name,
            stands=self._stands(name, member),
            clique=member.clique if member else "",
            index=entry.index if entry else -1,
            roster=f"ComputeDomainClique {roster.metadata.path}: {roster.message}" if roster else "",
            daemons=tuple(self._pod(pod) for pod in daemons),
            workers=tuple(self._pod(pod) for pod in sight.workers if pod.node == name),
            plugin=self._plugin(name),
        )

    def _stands(self, name: str, member: Member | None) -> str:
        if member is None:
            unread = self.sight.unread.get(kinds.NODES.kind)
            return "its labels could not be read" if unread else "has not joined: it carries no label of this domain"
        return "is ready" if member.ready else member.why

    def _plugin(self, node: str) -> str:
        if kinds.PODS.kind in self.sight.unread:
            return ""
        pod = self.sight.plugin_on(node)
        if pod is None:
            return f"no kubelet plugin of the driver runs on {node}"
        return "" if pod.ready else f"the kubelet plugin's pod {pod.metadata.path} is not ready: {stands(pod)}"

    def _pod(self, pod: Pod) -> PodTold:
        uid = pod.metadata.uid
        claims = [claim for claim in self.sight.claims if any(u.uid == uid for u in claim.status.reservedFor)]
        return PodTold(
            path=pod.metadata.path,
            stands=stands(pod),
            claims=tuple(claim_told(claim) for claim in claims),
            events=tuple(self._news(pod))[:MOST_EVENTS],
        )

    def _news(self, pod: Pod) -> Iterable[EventTold]:
        """Of a pod that is well, only what went wrong since."""
        well = since_ready(pod)
        for event in self._events(pod.metadata.uid):
            if not well or (event.warning and event.at >= well):
                yield event

    def _events(self, uid: str, *, everything: bool = False) -> tuple[EventTold, ...]:
        found = self.sight.events_of(uid)
        return tuple(event_told(event) for event in found if everything or event.reason not in USUAL)
