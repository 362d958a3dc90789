"""What a ComputeDomain keeps present and absent. Each compares, acts and stops; each is safe on stale sight."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from nvdra.api import kinds, names, objects
from nvdra.api.computedomain import ComputeDomainSpec
from nvdra.api.kind import Kind
from nvdra.api.meta import Meta
from nvdra.api.resources import ResourceClaimTemplate
from nvdra.domains.compute_domain import manifests
from nvdra.domains.compute_domain.labels import take_labels
from nvdra.domains.compute_domain.manifests import DaemonSettings, covers
from nvdra.domains.compute_domain.policy import NetworkPolicy
from nvdra.domains.compute_domain.sight import confirm_alive, confirm_gone
from nvdra.domains.compute_domain.snapshot import ComputeDomainSnapshot, ours
from nvdra.engine.domain import Thing
from nvdra.engine.store import Store
from nvdra.errors import Again, AlreadyExists, NotFound, Refused
from nvdra.ports import Cluster, Json, Subject


@frozen(eq=False)
class Ports:
    """What the handlers work with. `deleted` hears of each ComputeDomain that ends while it has nodes."""

    cluster: Cluster
    store: Store
    deleted: Callable[[Subject], None]
    settings: DaemonSettings = field(factory=DaemonSettings)


def things(ports: Ports) -> Mapping[str, Thing[ComputeDomainSnapshot]]:
    """Every thing of compute-domain.yaml."""
    return {
        "finalizer": Finalizer(ports),
        "workload-template": WorkloadTemplate(ports),
        "daemon-template": DaemonTemplate(ports),
        "daemonset": DaemonSet(ports),
        "network-policy": NetworkPolicy(ports.cluster, ports.store, ports.settings),
        "unserved-daemons": UnservedDaemons(ports),
        "node-labels": NodeLabels(ports),
    }


def subject(seen: ComputeDomainSnapshot) -> Subject | None:
    """The ComputeDomain as the object of an Event; None when it is gone."""
    if seen.domain is None:
        return None
    meta = seen.domain.metadata
    return Subject(kinds.COMPUTE_DOMAINS.api_version, "ComputeDomain", meta.name, meta.namespace, meta.uid)


@frozen(eq=False)
class Finalizer:
    """Ours on the ComputeDomain. Letting go cannot be taken back: it reads live what it rests on."""

    ports: Ports

    async def present(self, seen: ComputeDomainSnapshot) -> None:
        if seen.domain is None or names.FINALIZER in seen.domain.metadata.finalizers:
            return
        meta = seen.domain.metadata
        await self._write(meta, [*meta.finalizers, names.FINALIZER])

    async def absent(self, seen: ComputeDomainSnapshot) -> None:
        if seen.domain is None or names.FINALIZER not in seen.domain.metadata.finalizers:
            return
        meta = seen.domain.metadata
        await self._nothing_left(meta)
        await self._write(meta, [f for f in meta.finalizers if f != names.FINALIZER])

    async def _nothing_left(self, meta: Meta) -> None:
        """Ask the API server itself: our view may be old."""
        labels = f"{names.DOMAIN_LABEL}={meta.uid}"
        own = self.ports.settings.namespace
        version = self.ports.settings.resource_version
        places: tuple[tuple[Kind[Any], str], ...] = (
            (kinds.NODES, ""),
            (kinds.DAEMON_SETS, own),
            (kinds.ROSTERS, own),
            (kinds.CLAIM_TEMPLATES.at(version), own),
            (kinds.CLAIM_TEMPLATES.at(version), meta.namespace),
            *(((kinds.NETWORK_POLICIES, own),) if self.ports.settings.network_policy else ()),
        )
        for kind, namespace in places:
            found = (await self.ports.cluster.list(kind, namespace, labels=labels)).items
            left = [
                t for t in found if namespace == own or not isinstance(t, ResourceClaimTemplate) or ours(t, meta.uid)
            ]
            if left:
                raise Again(f"{kind.kind} {left[0].metadata.path} is still there", after=0.5)

    async def _write(self, meta: Meta, finalizers: Sequence[str]) -> None:
        patch = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resourceVersion, "finalizers": list(finalizers)}}
        try:
            after = await self.ports.cluster.patch(kinds.COMPUTE_DOMAINS, meta.name, patch, meta.namespace)
        except NotFound:
            return
        if after.metadata.deleting and not after.metadata.finalizers:  # that was the last one: there is no such object
            self.ports.store.drop(kinds.COMPUTE_DOMAINS, after)
        else:
            self.ports.store.learn(kinds.COMPUTE_DOMAINS, after)


@frozen(eq=False)
class WorkloadTemplate:
    """The claim template that workloads name."""

    ports: Ports

    async def present(self, seen: ComputeDomainSnapshot) -> None:
        if seen.domain is None or seen.workload_template is not None:
            return
        kind = kinds.CLAIM_TEMPLATES.at(self.ports.settings.resource_version)
        wanted = manifests.workload_template(seen.domain, self.ports.settings.resource_version)
        name, namespace = wanted["metadata"]["name"], seen.domain.metadata.namespace
        await confirm_alive(self.ports.cluster, self.ports.store, seen.domain)
        try:
            self.ports.store.learn(kind, await self.ports.cluster.create(kind, wanted, namespace))
        except AlreadyExists:
            await self._whose(seen, name, namespace)

    async def absent(self, seen: ComputeDomainSnapshot) -> None:
        await _delete_templates(self.ports, seen, seen.workload_templates)

    async def _whose(self, seen: ComputeDomainSnapshot, name: str, namespace: str) -> None:
        kind = kinds.CLAIM_TEMPLATES.at(self.ports.settings.resource_version)
        there = await self.ports.cluster.get(kind, name, namespace)
        if ours(there, seen.uid):
            raise Again(f"ResourceClaimTemplate {namespace}/{name} is there, our view is behind", after=0.2)
        owner = there.metadata.labels.get(names.DOMAIN_LABEL)
        by = f"belongs to the ComputeDomain with uid {owner}" if owner else "was not made by this ComputeDomain"
        raise Refused(
            f"ResourceClaimTemplate {namespace}/{name} exists and {by}: delete it, or choose another"
            " spec.channel.resourceClaimTemplate.name",
            reason="ForeignClaimTemplate",
        )


@frozen(eq=False)
class DaemonTemplate:
    """The claim template of the daemons."""

    ports: Ports

    async def present(self, seen: ComputeDomainSnapshot) -> None:
        if seen.domain is None or any(not t.metadata.deleting for t in seen.daemon_templates):
            return
        kind = kinds.CLAIM_TEMPLATES.at(self.ports.settings.resource_version)
        wanted = manifests.daemon_template(seen.domain, self.ports.settings)
        await confirm_alive(self.ports.cluster, self.ports.store, seen.domain)
        try:
            self.ports.store.learn(kind, await self.ports.cluster.create(kind, wanted, self.ports.settings.namespace))
        except AlreadyExists as error:
            raise Again(str(error), after=1.0) from error

    async def absent(self, seen: ComputeDomainSnapshot) -> None:
        await _delete_templates(self.ports, seen, seen.daemon_templates)


@frozen(eq=False)
class DaemonSet:
    """The DaemonSet of the domain. Drift is corrected; its pods are left alone (updateStrategy OnDelete)."""

    ports: Ports
    # the very object, which the store keeps until it changes, and the spec that it is right for
    found_right: dict[str, tuple[objects.DaemonSet, ComputeDomainSpec]] = field(factory=dict)

    async def present(self, seen: ComputeDomainSnapshot) -> None:
        if seen.domain is None:
            return
        name = names.daemonset_name(seen.domain.metadata.name, seen.uid)
        existing = next((d for d in seen.daemon_sets if d.metadata.name == name), None)
        known, spec = self.found_right.get(seen.uid, (None, None))
        if existing is not None and existing is known and spec == seen.domain.spec:
            return
        wanted = manifests.daemonset(seen.domain, self.ports.settings)
        if existing is None:
            await confirm_alive(self.ports.cluster, self.ports.store, seen.domain)
            await self._create(wanted)
        elif not existing.metadata.deleting and not covers(existing.spec, wanted["spec"]):
            await self._correct(existing, wanted)
        elif not existing.metadata.deleting:
            self.found_right[seen.uid] = (existing, seen.domain.spec)

    async def absent(self, seen: ComputeDomainSnapshot) -> None:
        self.found_right.pop(seen.uid, None)
        if seen.daemon_sets:
            await confirm_gone(self.ports.cluster, self.ports.store, seen)
        for there in seen.daemon_sets:
            await _strip(self.ports.cluster, kinds.DAEMON_SETS, there.metadata)
            await self.ports.cluster.delete(
                kinds.DAEMON_SETS, there.metadata.name, there.metadata.namespace, uid=there.metadata.uid
            )

    async def _create(self, wanted: Json) -> None:
        namespace = self.ports.settings.namespace
        try:
            made = await self.ports.cluster.create(kinds.DAEMON_SETS, wanted, namespace)
        except AlreadyExists as error:
            raise Again(str(error), after=1.0) from error
        self.ports.store.learn(kinds.DAEMON_SETS, made)

    async def _correct(self, existing: objects.DaemonSet, wanted: Json) -> None:
        """What was changed is applied. A template by other settings goes whole: an apply keeps what is not named."""
        meta = existing.metadata
        if manifests.is_of(existing.spec, manifests.wanted_hash(wanted)):
            made = await self.ports.cluster.patch(kinds.DAEMON_SETS, meta.name, wanted, meta.namespace, how="apply")
        else:
            patch: list[Json] = [
                {"op": "test", "path": "/metadata/uid", "value": meta.uid},
                {"op": "replace", "path": "/spec/template", "value": wanted["spec"]["template"]},
            ]
            made = await self.ports.cluster.patch(kinds.DAEMON_SETS, meta.name, patch, meta.namespace, how="json")
        self.ports.store.learn(kinds.DAEMON_SETS, made)


@frozen(eq=False)
class UnservedDaemons:
    """Daemon pods of an older template on nodes that never served a channel: they may be replaced, others may not."""

    ports: Ports

    async def present(self, seen: ComputeDomainSnapshot) -> None:
        raise AssertionError("never ordered")  # pragma: no cover - law closed: only `absent` is written

    async def absent(self, seen: ComputeDomainSnapshot) -> None:
        if seen.domain is None or not seen.daemons:
            return
        wanted = manifests.wanted_hash(manifests.daemonset(seen.domain, self.ports.settings))
        for pod in seen.daemons:
            old = pod.metadata.annotations.get(names.TEMPLATE_HASH_ANNOTATION, wanted) != wanted
            if old and not pod.ready and not pod.metadata.deleting and not await self._served(seen, pod.node):
                await self.ports.cluster.delete(
                    kinds.PODS, pod.metadata.name, pod.metadata.namespace, uid=pod.metadata.uid
                )

    async def _served(self, seen: ComputeDomainSnapshot, node: str) -> bool:
        for roster in seen.rosters:
            if roster.entry(node) is not None:
                live = await self.ports.cluster.get(kinds.ROSTERS, roster.metadata.name, roster.metadata.namespace)
                entry = live.entry(node)
                return entry is None or entry.served
        return False


@frozen(eq=False)
class NodeLabels:
    """The domain's label on nodes. Plugins put it there; the controller takes it back when the domain ends."""

    ports: Ports

    async def present(self, seen: ComputeDomainSnapshot) -> None:
        raise AssertionError("never ordered")  # pragma: no cover - law closed: only `absent` is written

    async def absent(self, seen: ComputeDomainSnapshot) -> None:
        if not seen.nodes:
            return
        await confirm_gone(self.ports.cluster, self.ports.store, seen)
        if (domain := subject(seen)) is not None:
            self.ports.deleted(domain)
        await take_labels(self.ports.cluster, [node.metadata.name for node in seen.nodes], seen.uid)


async def _delete_templates(
    ports: Ports, seen: ComputeDomainSnapshot, templates: Sequence[ResourceClaimTemplate]
) -> None:
    kind = kinds.CLAIM_TEMPLATES.at(ports.settings.resource_version)
    if templates:
        await confirm_gone(ports.cluster, ports.store, seen)
    for there in templates:
        await _strip(ports.cluster, kind, there.metadata)
        await ports.cluster.delete(kind, there.metadata.name, there.metadata.namespace, uid=there.metadata.uid)


async def _strip(cluster: Cluster, kind: Kind[Any], meta: Meta) -> None:
    """Objects that the Go driver made carry its finalizer."""
    if names.FINALIZER in meta.finalizers:
        left = [f for f in meta.finalizers if f != names.FINALIZER]
        patch = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resourceVersion, "finalizers": left}}
        await cluster.patch(kind, meta.name, patch, meta.namespace)
