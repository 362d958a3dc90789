"""What one settle of an IMEX domain may look at, and how it is taken from the store. Pure."""

from collections.abc import Iterable

from attrs import define, field, frozen

from nvdra.api import kinds, names
from nvdra.api.computedomain import ComputeDomain, ImexDomainStatus, Roster
from nvdra.api.membership import Member, joined_clique, members_of
from nvdra.api.objects import Node, Pod
from nvdra.api.resources import ResourceSlice
from nvdra.engine.queue import Key
from nvdra.engine.store import Store

KIND = "imex-domain"
BY_ROSTER = "roster"
BY_DOMAIN = "domain"
BY_UID = "uid"
BY_NODE = "node"
BY_NAME = "name"
WATCHED = (kinds.COMPUTE_DOMAINS, kinds.NODES, kinds.PODS, kinds.RESOURCE_SLICES, kinds.ROSTERS)


@frozen
class ImexDomainSnapshot:
    """One clique of one ComputeDomain; `joined` counts the nodes of all of its cliques.

    `continued`: some node that the ComputeDomain's status lists has stayed since, so what was remembered then holds.
    """

    uid: str
    clique: str
    now: float
    domain: ComputeDomain | None = None
    members: tuple[Member, ...] = ()
    roster: Roster | None = None
    joined: int = 0
    continued: bool = True

    @property
    def name(self) -> str:
        """The roster's name."""
        return names.roster_name(self.uid, self.clique)

    @property
    def remembered(self) -> ImexDomainStatus | None:
        """What the ComputeDomain's status says of this clique."""
        entries = self.domain.status.imexDomains if self.domain else ()
        return next((entry for entry in entries if entry.cliqueID == self.clique), None)


def declare(store: Store) -> None:
    """Which changes concern an IMEX domain, and the indices that its snapshot needs."""
    store.index(kinds.COMPUTE_DOMAINS, BY_UID, lambda seen: [seen.metadata.uid])
    store.index(kinds.NODES, BY_ROSTER, _roster_of_node)
    store.index(kinds.NODES, BY_DOMAIN, _domain_of)
    store.index(kinds.ROSTERS, BY_DOMAIN, _domain_of)
    store.index(kinds.ROSTERS, BY_NAME, lambda roster: [roster.metadata.name])
    store.index(kinds.PODS, BY_NODE, lambda pod: [(uid, pod.node) for uid in _domain_of(pod)])
    store.index(kinds.RESOURCE_SLICES, BY_NODE, lambda seen: [seen.spec.nodeName])
    store.concern(kinds.NODES, lambda node: [Key(KIND, name) for name in _roster_of_node(node)])
    store.concern(kinds.NODES, _Gathered(store).keys)
    store.concern(kinds.ROSTERS, lambda roster: [Key(KIND, roster.metadata.name)])
    store.concern(kinds.COMPUTE_DOMAINS, lambda seen: keys_of(store, seen.metadata.uid, seen))
    store.concern(kinds.PODS, lambda pod: _keys_of_node(store, pod.node))
    store.concern(kinds.RESOURCE_SLICES, lambda seen: _keys_of_node(store, seen.spec.nodeName))


@define(eq=False)
class _Gathered:
    """Domains whose nodes have all come: with the last one, no list of any clique waits for more (pace.py)."""

    store: Store
    known: set[str] = field(factory=set)

    def keys(self, node: Node) -> Iterable[Key]:
        """Every clique's, at the node that makes a domain complete."""
        return [key for uid in _domain_of(node) for key in self._of(uid)]

    def _of(self, uid: str) -> Iterable[Key]:
        domain = next(iter(self.store.find(kinds.COMPUTE_DOMAINS, BY_UID, uid)), None)
        wanted = domain.spec.numNodes if domain else 0
        complete = 0 < wanted <= self.store.count(kinds.NODES, BY_DOMAIN, uid)
        if domain is None or complete == (uid in self.known):
            return ()
        self.known ^= {uid}
        return keys_of(self.store, uid, domain) if complete else ()


def observe(store: Store, key: Key, now: float) -> ImexDomainSnapshot:
    """Freeze the view. Raises NotYet until every kind has been listed."""
    store.require(*WATCHED)
    uid, _, clique = key.id.partition(".")
    nodes = store.find(kinds.NODES, BY_ROSTER, key.id)
    pods = [pod for node in nodes for pod in store.find(kinds.PODS, BY_NODE, (uid, node.metadata.name))]
    domain = next(iter(store.find(kinds.COMPUTE_DOMAINS, BY_UID, uid)), None)
    return ImexDomainSnapshot(
        uid=uid,
        clique="" if clique == names.NO_FABRIC else clique,
        now=now,
        domain=domain,
        members=members_of(nodes, pods, lambda node: _slice(store, node)),
        joined=store.count(kinds.NODES, BY_DOMAIN, uid),
        continued=domain is None or _continued(store, domain),
        roster=next((r for r in store.find(kinds.ROSTERS, BY_NAME, key.id) if uid in _domain_of(r)), None),
    )


def _continued(store: Store, domain: ComputeDomain) -> bool:
    """Where the status lists no nodes (none was there, or too many), nothing speaks against it."""
    listed = domain.status.nodes
    return not listed or any(_stays(store.get(kinds.NODES, n.name), domain.metadata.uid, n.claim) for n in listed)


def _stays(node: Node | None, uid: str, claim: str) -> bool:
    labels = node.metadata.labels if node else {}
    return labels.get(names.DOMAIN_LABEL) == uid and labels.get(names.JOIN_LABEL, "") == claim


def _slice(store: Store, node: str) -> ResourceSlice | None:
    return next(iter(store.find(kinds.RESOURCE_SLICES, BY_NODE, node)), None)


def keys_of(store: Store, uid: str, domain: ComputeDomain) -> Iterable[Key]:
    """Every clique of a domain that anything knows of."""
    known = {roster.metadata.name for roster in store.find(kinds.ROSTERS, BY_DOMAIN, uid)}
    known |= {name for node in store.find(kinds.NODES, BY_DOMAIN, uid) for name in _roster_of_node(node)}
    known |= {names.roster_name(uid, entry.cliqueID) for entry in domain.status.imexDomains}
    return [Key(KIND, name) for name in known]


def _keys_of_node(store: Store, name: str) -> Iterable[Key]:
    node = store.get(kinds.NODES, name)
    return [Key(KIND, roster) for roster in _roster_of_node(node)] if node else []


def _roster_of_node(node: Node) -> Iterable[str]:
    return [names.roster_name(uid, joined_clique(node)) for uid in _domain_of(node)]


def _domain_of(seen: Node | Pod | Roster) -> Iterable[str]:
    uid = seen.metadata.labels.get(names.DOMAIN_LABEL)
    return (uid,) if uid else ()
