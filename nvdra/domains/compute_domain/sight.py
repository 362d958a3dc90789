"""Live looks at the ComputeDomain, before what our view of it, which may be old, must not decide alone."""

from nvdra.api import kinds
from nvdra.api.computedomain import ComputeDomain
from nvdra.domains.compute_domain.snapshot import ComputeDomainSnapshot
from nvdra.engine.store import Store
from nvdra.errors import Again, NotFound
from nvdra.ports import Cluster


async def confirm_alive(cluster: Cluster, store: Store, domain: ComputeDomain) -> None:
    """Before anything is made for a domain: if it has ended, that is an orphan, or collected and made for ever."""
    meta = domain.metadata
    try:
        live = await cluster.get(kinds.COMPUTE_DOMAINS, meta.name, meta.namespace)
    except NotFound:
        live = None
    if live is None or live.metadata.uid != meta.uid:
        store.drop(kinds.COMPUTE_DOMAINS, domain)
        raise Again(f"ComputeDomain {meta.path} is gone, our view was behind", after=0.2)
    if live.metadata.deleting:
        store.learn(kinds.COMPUTE_DOMAINS, live)
        raise Again(f"ComputeDomain {meta.path} is being deleted, our view was behind", after=0.2)


async def confirm_gone(cluster: Cluster, store: Store, seen: ComputeDomainSnapshot) -> None:
    """Before anything is torn down for a domain that we do not see: our view of ComputeDomains may be behind."""
    if seen.domain is not None:
        return
    living = await cluster.list(kinds.COMPUTE_DOMAINS)
    for domain in living.items:
        if domain.metadata.uid == seen.uid:
            store.learn(kinds.COMPUTE_DOMAINS, domain)
            raise Again(f"ComputeDomain {domain.metadata.path} exists, our view was behind", after=0.2)
