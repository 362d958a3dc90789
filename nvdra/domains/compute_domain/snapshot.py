"""What one settle of a ComputeDomain may look at, and how it is taken from the store. Pure."""

from collections.abc import Iterable
from typing import Any

from attrs import define, field, frozen

from nvdra.api import kinds, names
from nvdra.api.computedomain import ComputeDomain, Roster
from nvdra.api.kind import Kind
from nvdra.api.membership import Member, member_of
from nvdra.api.objects import DaemonSet, NetworkPolicy, Node, Pod
from nvdra.api.resources import ResourceClaimTemplate, ResourceSlice
from nvdra.engine.queue import Key
from nvdra.engine.store import Store

KIND = "compute-domain"
BY_DOMAIN = "domain"
BY_UID = "uid"
BY_NODE = "node"
BY_TEMPLATE = "template"
UNNOTICED = 128
LOOKED_AT_A_SECOND = 20_000
GATHERED_A_SECOND = 5_000
"""Nodes looked at, in domains so large that it is noticed."""


@frozen
class ComputeDomainSnapshot:
    """One ComputeDomain (None when it is gone) and all that carries its uid. Of workload templates, only our own."""

    uid: str
    now: float
    domain: ComputeDomain | None = None
    workload_templates: tuple[ResourceClaimTemplate, ...] = ()
    daemon_templates: tuple[ResourceClaimTemplate, ...] = ()
    daemon_sets: tuple[DaemonSet, ...] = ()
    policies: tuple[NetworkPolicy, ...] = ()
    daemons: tuple[Pod, ...] = ()
    nodes: tuple[Node, ...] = ()
    members: tuple[Member, ...] = ()
    rosters: tuple[Roster, ...] = ()

    @property
    def workload_template(self) -> ResourceClaimTemplate | None:
        """The claim template that the spec names, if it is there and ours."""
        if self.domain is None:
            return None
        place = (self.domain.metadata.namespace, self.domain.spec.channel.resourceClaimTemplate.name)
        here = (t for t in self.workload_templates if (t.metadata.namespace, t.metadata.name) == place)
        return next((t for t in here if not t.metadata.deleting), None)

    @property
    def wanted_nodes(self) -> int:
        """spec.numNodes; 0 means any number."""
        return self.domain.spec.numNodes if self.domain else 0

    @property
    def ready_nodes(self) -> int:
        """How many joined nodes are ready."""
        return sum(member.ready for member in self.members)


def declare(store: Store) -> None:
    """Which changes concern a ComputeDomain, and the indices that its snapshot needs."""
    store.concern(kinds.COMPUTE_DOMAINS, lambda seen: [Key(KIND, seen.metadata.uid)])
    store.index(kinds.COMPUTE_DOMAINS, BY_UID, lambda seen: [seen.metadata.uid])
    store.index(kinds.COMPUTE_DOMAINS, BY_TEMPLATE, lambda seen: [_template_of(seen)])
    store.concern(kinds.CLAIM_TEMPLATES, lambda seen: _domains_that_name(store, seen.metadata.path))
    store.index(kinds.RESOURCE_SLICES, BY_NODE, lambda seen: [seen.spec.nodeName])
    store.index(kinds.PODS, BY_NODE, lambda pod: [(uid, pod.node) for uid in domains_of(pod)])
    store.concern(kinds.RESOURCE_SLICES, lambda seen: _domains_of_node(store, seen.spec.nodeName))
    for kind in LABELLED:
        store.index(kind, BY_DOMAIN, domains_of)
        store.concern(kind, lambda seen: [Key(KIND, uid) for uid in domains_of(seen)])


def domains_of(seen: ResourceClaimTemplate | DaemonSet | NetworkPolicy | Pod | Node | Roster) -> Iterable[str]:
    """The uid of the ComputeDomain that an object belongs to, if any."""
    uid = seen.metadata.labels.get(names.DOMAIN_LABEL)
    return (uid,) if uid else ()


@frozen
class _Stand:
    """How a node stands, and what that was read from."""

    node: Node
    published: ResourceSlice | None
    pods: tuple[Pod, ...]
    member: Member

    def still(self, node: Node, published: ResourceSlice | None, pods: tuple[Pod, ...]) -> bool:
        """The very same objects are there: the store keeps them until they change."""
        same = self.node is node and self.published is published and len(self.pods) == len(pods)
        return same and all(a is b for a, b in zip(self.pods, pods, strict=True))


@define(eq=False)
class View:
    """Takes snapshots. How a node stands is read again only when something of that node has changed.

    `policies`: network policies are ours to make, and so are watched.
    """

    policies: bool = True
    _stands: dict[str, dict[str, _Stand]] = field(factory=dict)

    def observe(self, store: Store, key: Key, now: float) -> ComputeDomainSnapshot:
        """Freeze the view. Raises NotYet until every kind has been listed."""
        store.require(*(WATCHED if self.policies else WITHOUT_POLICIES))
        uid = key.id
        templates = store.find(kinds.CLAIM_TEMPLATES, BY_DOMAIN, uid)
        nodes = store.find(kinds.NODES, BY_DOMAIN, uid)
        return ComputeDomainSnapshot(
            uid=uid,
            now=now,
            domain=next(iter(store.find(kinds.COMPUTE_DOMAINS, BY_UID, uid)), None),
            workload_templates=tuple(t for t in templates if _target(t) == "Workload" and ours(t, uid)),
            daemon_templates=tuple(t for t in templates if _target(t) == "Daemon"),
            daemon_sets=store.find(kinds.DAEMON_SETS, BY_DOMAIN, uid),
            policies=store.find(kinds.NETWORK_POLICIES, BY_DOMAIN, uid),
            daemons=store.find(kinds.PODS, BY_DOMAIN, uid),
            nodes=nodes,
            members=self._members(store, uid, nodes),
            rosters=store.find(kinds.ROSTERS, BY_DOMAIN, uid),
        )

    def _members(self, store: Store, uid: str, nodes: Iterable[Node]) -> tuple[Member, ...]:
        before, now = self._stands.pop(uid, {}), {}
        for node in nodes:
            name = node.metadata.name
            published, pods = slice_of(store, name), store.find(kinds.PODS, BY_NODE, (uid, name))
            stand = before.get(name)
            if stand is None or not stand.still(node, published, pods):
                stand = _Stand(node, published, pods, member_of(node, published, pods))
            now[name] = stand
        if now:
            self._stands[uid] = now
        return tuple(now[name].member for name in sorted(now))


def rest(seen: ComputeDomainSnapshot) -> float:
    """A look costs some microseconds a node: a rack of 72 is looked at at once, 5,000 nodes four times a second.

    While nodes are missing, a look gives but another text.
    """
    joined = len(seen.members)
    return max(0, joined - UNNOTICED) / (LOOKED_AT_A_SECOND if joined >= seen.wanted_nodes else GATHERED_A_SECOND)


def _template_of(domain: ComputeDomain) -> str:
    """The workload template that its spec names."""
    return f"{domain.metadata.namespace}/{domain.spec.channel.resourceClaimTemplate.name}"


def _domains_that_name(store: Store, template: str) -> Iterable[Key]:
    """One that was made or deleted concerns whoever wants that name, whose ever it is."""
    return [Key(KIND, domain.metadata.uid) for domain in store.find(kinds.COMPUTE_DOMAINS, BY_TEMPLATE, template)]


def _domains_of_node(store: Store, node: str) -> Iterable[Key]:
    """A node whose clique reads differently now concerns the domain that it has joined."""
    found = store.get(kinds.NODES, node)
    return [Key(KIND, uid) for uid in domains_of(found)] if found else []


def slice_of(store: Store, node: str) -> ResourceSlice | None:
    """The node's ResourceSlice of our driver: the pool is the node, the name is generated."""
    return next(iter(store.find(kinds.RESOURCE_SLICES, BY_NODE, node)), None)


def ours(template: ResourceClaimTemplate, uid: str) -> bool:
    """Made for this domain: its label, and the owner that only we write (or the Go driver's finalizer)."""
    meta = template.metadata
    owned = any(owner.uid == uid for owner in meta.ownerReferences) or names.FINALIZER in meta.finalizers
    return meta.labels.get(names.DOMAIN_LABEL) == uid and owned


def _target(template: ResourceClaimTemplate) -> str:
    return template.metadata.labels.get(names.TARGET_LABEL, "")


LABELLED: tuple[Kind[Any], ...] = (
    kinds.CLAIM_TEMPLATES,
    kinds.DAEMON_SETS,
    kinds.NETWORK_POLICIES,
    kinds.PODS,
    kinds.NODES,
    kinds.ROSTERS,
)
"""What carries the domain's label."""
WATCHED: tuple[Kind[Any], ...] = (kinds.COMPUTE_DOMAINS, *LABELLED, kinds.RESOURCE_SLICES)
WITHOUT_POLICIES = tuple(kind for kind in WATCHED if kind is not kinds.NETWORK_POLICIES)
