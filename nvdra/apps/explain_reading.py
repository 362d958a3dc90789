"""Reading for `nvdra explain`, with the caller's rights: what may not be read is noted, and does not end it."""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, TypeVar

from attrs import frozen

from nvdra.adapters.kube.client import KubeClient
from nvdra.api import kinds, names
from nvdra.api.computedomain import ComputeDomain
from nvdra.api.kind import Kind
from nvdra.api.objects import Event
from nvdra.api.resources import ResourceClaim
from nvdra.domains.compute_domain import snapshot as domain_snapshot
from nvdra.domains.imex_domain import snapshot as imex_snapshot
from nvdra.errors import ApiError, ConfigError, NotFound
from nvdra.explain.sight import Sight, asks_for, is_daemons, uses
from nvdra.ports import Cluster

T = TypeVar("T")
MOST_PODS = 20
"""So many pods have their Events read, those that are not ready first."""
DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


async def version_of(client: KubeClient, override: str) -> str:
    """The version of resource.k8s.io; one who may not ask for it is taken to mean the newest."""
    try:
        return await client.resource_version_of_api(override)
    except ApiError as error:
        if error.code not in DENIED:
            raise
        return names.RESOURCE_API_VERSIONS[0]


@frozen
class Reading:
    """One look at a ComputeDomain and all that concerns it."""

    cluster: Cluster
    namespace: str
    version: str

    async def look(self, place: tuple[str, str], now: float) -> Sight:
        """Everything that may be read. Raises ConfigError when there is no such ComputeDomain."""
        sight = Sight(await self._domain(*place), now, namespace=self.namespace)
        domain_snapshot.declare(sight.store)
        imex_snapshot.declare(sight.store)
        sight.store.put(kinds.COMPUTE_DOMAINS, sight.domain)
        await asyncio.gather(self._parts(sight), self._workers(sight))
        for kind in domain_snapshot.WATCHED:
            sight.store.synced(kind)
        await self._events(sight)
        return sight

    async def _domain(self, namespace: str, name: str) -> ComputeDomain:
        try:
            return await self.cluster.get(kinds.COMPUTE_DOMAINS, name, namespace)
        except NotFound as error:
            said = await self._last_words(namespace, name)
            raise ConfigError(
                f"no ComputeDomain {name} in namespace {namespace} ({error}); kubectl get computedomains -A lists all"
                f"{said}"
            ) from error

    async def _last_words(self, namespace: str, name: str) -> str:
        """Events outlive what they are about: why it ended may be there still."""
        about = f"involvedObject.kind=ComputeDomain,involvedObject.name={name},type=Warning"
        try:
            found = (await self.cluster.list(kinds.EVENTS, namespace, fields=about)).items
        except ApiError:
            return ""
        last = max(found, key=lambda event: event.at, default=None)
        return f"; the last warning about one of that name, at {last.at}: {last.message}" if last else ""

    async def _parts(self, sight: Sight) -> None:
        """What the controller itself looks at, by the domain's label."""
        label = f"{names.DOMAIN_LABEL}={sight.domain.metadata.uid}"
        templates = kinds.CLAIM_TEMPLATES.at(self.version)
        slices = kinds.RESOURCE_SLICES.at(self.version)
        await asyncio.gather(
            self._into(sight, kinds.NODES, labels=label),
            self._into(sight, kinds.DAEMON_SETS, self.namespace, labels=label),
            self._into(sight, kinds.NETWORK_POLICIES, self.namespace, labels=label),
            self._into(sight, kinds.ROSTERS, self.namespace, labels=label),
            self._into(sight, templates, self.namespace, labels=label),
            self._into(sight, templates, sight.domain.metadata.namespace, labels=label),
            self._into(sight, slices, fields=f"spec.driver={names.CD_DRIVER}"),
        )
        sight.own_pods = await self._listed(sight, kinds.PODS, self.namespace)
        for pod in sight.own_pods:
            sight.store.put(kinds.PODS, pod)

    async def _workers(self, sight: Sight) -> None:
        """Claims of other namespaces too, where they may be read: they may ask for this domain in vain."""
        meta = sight.domain.metadata
        claims = await self._everywhere(sight, kinds.RESOURCE_CLAIMS.at(self.version), meta.namespace)
        sight.claims = tuple(c for c in claims if asks_for(c, meta.uid) and not is_daemons(c))
        namespaces = {meta.namespace, *(claim.metadata.namespace for claim in sight.claims)}
        for namespace in sorted(namespaces):
            pods = await self._listed(sight, kinds.PODS, namespace)
            sight.workers += tuple(pod for pod in pods if uses(pod, sight.domain, sight.claims))

    async def _events(self, sight: Sight) -> None:
        mine = [p for p in sight.own_pods if p.metadata.labels.get(names.DOMAIN_LABEL) == sight.domain.metadata.uid]
        late_first = sorted((*sight.workers, *mine), key=lambda pod: pod.ready)
        about = [sight.domain.metadata, *(pod.metadata for pod in late_first[:MOST_PODS])]
        found = await asyncio.gather(*(self._events_of(sight, meta.uid, meta.namespace) for meta in about))
        sight.events.update({meta.uid: events for meta, events in zip(about, found, strict=True)})

    async def _events_of(self, sight: Sight, uid: str, namespace: str) -> tuple[Event, ...]:
        return await self._listed(sight, kinds.EVENTS, namespace, fields=f"involvedObject.uid={uid}")

    async def _into(self, sight: Sight, kind: Kind[Any], namespace: str = "", **selectors: str) -> None:
        for thing in await self._listed(sight, kind, namespace, **selectors):
            sight.store.put(kind, thing)

    async def _everywhere(self, sight: Sight, kind: Kind[ResourceClaim], namespace: str) -> Iterable[ResourceClaim]:
        try:
            return (await self.cluster.list(kind)).items
        except ApiError as error:
            if error.code not in DENIED:
                raise
        return await self._listed(sight, kind, namespace)

    async def _listed(self, sight: Sight, kind: Kind[T], namespace: str = "", **selectors: str) -> tuple[T, ...]:
        """What may be read; else the reason is noted, once a kind and namespace."""
        try:
            return (await self.cluster.list(kind, namespace, **selectors)).items
        except ApiError as error:
            if error.code not in DENIED:
                raise
            sight.unread.setdefault(kind.kind, str(error))
            return ()
