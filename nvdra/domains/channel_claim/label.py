"""The one thing that plugin and controller both write: the domain's label on this node. Each patches with a test."""

import asyncio

from attrs import frozen

from nvdra.api import kinds, names
from nvdra.api.computedomain import ComputeDomain
from nvdra.api.membership import joining_patch, leaving_patch
from nvdra.api.meta import Meta
from nvdra.api.objects import Node
from nvdra.api.records import ClaimRecord
from nvdra.domains.channel_claim.snapshot import ChannelClaimSnapshot
from nvdra.engine.store import Store
from nvdra.errors import Again, Conflict, NotFound, Refused
from nvdra.ports import Cluster


@frozen(eq=False)
class NodeLabel:
    """The domain's label on this node: put while the domain lives, taken only while it is this domain's."""

    cluster: Cluster
    store: Store

    async def present(self, seen: ChannelClaimSnapshot) -> None:
        record = seen.record
        if record is None or (seen.label == record.domain and seen.entry and seen.entry.claim == record.uid):
            return
        domain, node = await asyncio.gather(self._domain(record), self.cluster.get(kinds.NODES, seen.node_name))
        self.store.learn(kinds.NODES, node)
        labels = node.metadata.labels
        label = labels.get(names.DOMAIN_LABEL)
        stays = (labels.get(names.CLIQUE_LABEL, ""), labels.get(names.JOIN_LABEL, ""))
        if label == record.domain and stays == (record.clique, record.uid):
            return
        if domain.metadata.deleting and not record.released:
            raise Refused(
                f"ComputeDomain {domain.metadata.path} is being deleted: no new worker may join it",
                reason="ComputeDomainDeleting",
            )
        if domain.metadata.deleting:
            return
        if label not in (None, record.domain):
            raise Refused(
                f"node {seen.node_name} belongs to the ComputeDomain with uid {label}: one ComputeDomain a node; it is"
                " free again when that domain's last workload on it has ended",
                reason="NodeTaken",
            )
        await self._patch(seen.node_name, record, label)

    async def absent(self, seen: ChannelClaimSnapshot) -> None:
        if seen.record is None:
            return
        patch = leaving_patch(seen.record.domain)
        try:
            after = await self.cluster.patch(kinds.NODES, seen.node_name, patch, how="json")
        except NotFound:
            self.store.put(kinds.NODES, Node(Meta(name=seen.node_name)))  # no node, no label
            return
        except Conflict:  # another domain's by now, or nobody's
            after = await self.cluster.get(kinds.NODES, seen.node_name)
        self.store.learn(kinds.NODES, after)

    async def _domain(self, record: ClaimRecord) -> ComputeDomain:
        """Read live: a domain may have been made a millisecond ago, or be gone."""
        if record.domain_name:
            try:
                found = await self.cluster.get(kinds.COMPUTE_DOMAINS, record.domain_name, record.namespace)
            except NotFound:
                found = None
            if found is not None and found.metadata.uid == record.domain:
                return found
        listed = await self.cluster.list(kinds.COMPUTE_DOMAINS, record.namespace)
        for domain in listed.items:
            if domain.metadata.uid == record.domain:
                return domain
        raise Refused(
            f"no ComputeDomain with uid {record.domain} in namespace {record.namespace}: it is gone, or belongs to"
            " another namespace; a workload uses a ComputeDomain of its own namespace",
            reason="ComputeDomainNotFound",
        )

    async def _patch(self, node: str, record: ClaimRecord, label: str | None) -> None:
        patch = joining_patch(record.domain, record.uid, record.clique, label)
        try:
            self.store.learn(kinds.NODES, await self.cluster.patch(kinds.NODES, node, patch, how="json"))
        except Conflict as error:
            raise Again(f"the label of node {node} changed meanwhile: {error}", after=0.2) from error
