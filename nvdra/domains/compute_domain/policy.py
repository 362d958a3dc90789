"""The network policy of a domain's daemons: who may reach IMEX, which asks nobody for proof. Owned by the DaemonSet."""

from attrs import frozen

from nvdra.api import kinds, names, objects
from nvdra.api.computedomain import ComputeDomain
from nvdra.domains.compute_domain import manifests
from nvdra.domains.compute_domain.manifests import DaemonSettings
from nvdra.domains.compute_domain.sight import confirm_alive, confirm_gone
from nvdra.domains.compute_domain.snapshot import ComputeDomainSnapshot
from nvdra.engine.store import Store
from nvdra.errors import AlreadyExists
from nvdra.ports import Cluster, Json


@frozen(eq=False)
class NetworkPolicy:
    """One a domain. Where none are wanted they are neither made nor looked at: those of before go with their DaemonSet.

    It is made after the DaemonSet that owns it, and long before its first pod: no node has joined yet.
    """

    cluster: Cluster
    store: Store
    settings: DaemonSettings

    async def present(self, seen: ComputeDomainSnapshot) -> None:
        if seen.domain is None or not self.settings.network_policy:
            return
        owner = _owner(seen, seen.domain)
        if owner is None:  # it is about to be made, and that wakes us
            return
        wanted = manifests.network_policy(seen.uid, owner)
        existing = next((p for p in seen.policies if p.metadata.name == owner.metadata.name), None)
        if existing is None:
            await confirm_alive(self.cluster, self.store, seen.domain)
            await self._create(wanted)
        elif not existing.metadata.deleting and not _right(existing, wanted, owner.metadata.uid):
            await self._apply(wanted)

    async def absent(self, seen: ComputeDomainSnapshot) -> None:
        if seen.policies:
            await confirm_gone(self.cluster, self.store, seen)
        for there in seen.policies:
            meta = there.metadata
            await self.cluster.delete(kinds.NETWORK_POLICIES, meta.name, meta.namespace, uid=meta.uid)

    async def _create(self, wanted: Json) -> None:
        namespace = wanted["metadata"]["namespace"]
        try:
            made = await self.cluster.create(kinds.NETWORK_POLICIES, wanted, namespace)
        except AlreadyExists:  # without the label that we watch by, or our view is behind
            await self._apply(wanted)
            return
        self.store.learn(kinds.NETWORK_POLICIES, made)

    async def _apply(self, wanted: Json) -> None:
        meta = wanted["metadata"]
        made = await self.cluster.patch(kinds.NETWORK_POLICIES, meta["name"], wanted, meta["namespace"], how="apply")
        self.store.learn(kinds.NETWORK_POLICIES, made)


def _owner(seen: ComputeDomainSnapshot, domain: ComputeDomain) -> objects.DaemonSet | None:
    """The domain's DaemonSet, while it is there to stay."""
    name = names.daemonset_name(domain.metadata.name, seen.uid)
    return next((d for d in seen.daemon_sets if d.metadata.name == name and not d.metadata.deleting), None)


def _right(existing: objects.NetworkPolicy, wanted: Json, owner: str) -> bool:
    """Names of others, and what they noted on it, stay; its label is there, or it would not have been seen."""
    owned = any(reference.uid == owner for reference in existing.metadata.ownerReferences)
    return owned and manifests.admits(existing, wanted)
