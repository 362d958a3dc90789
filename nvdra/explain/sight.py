"""What `nvdra explain` has read: the controller's own store, and beside it workers, claims and Events. Pure."""

from collections.abc import Iterable, Mapping

from attrs import define, field

from nvdra.api import names
from nvdra.api.computedomain import ComputeDomain
from nvdra.api.objects import Event, Pod
from nvdra.api.resources import ResourceClaim
from nvdra.engine.store import Store

PLUGIN_LABEL = "nvidia-dra-driver-gpu-component"
PLUGIN = "kubelet-plugin"


@define
class Sight:
    """One look. `unread`: kind of object to why it could not be read. `events`: by the uid of what they are about."""

    domain: ComputeDomain
    now: float
    store: Store = field(factory=lambda: Store(lambda _: None))
    namespace: str = names.DRIVER_NAMESPACE
    own_pods: tuple[Pod, ...] = ()
    claims: tuple[ResourceClaim, ...] = ()
    workers: tuple[Pod, ...] = ()
    events: dict[str, tuple[Event, ...]] = field(factory=dict)
    unread: dict[str, str] = field(factory=dict)

    def plugin_on(self, node: str) -> Pod | None:
        """The driver's own pod on a node."""
        plugins = (pod for pod in self.own_pods if pod.metadata.labels.get(PLUGIN_LABEL) == PLUGIN)
        return next((pod for pod in plugins if pod.node == node), None)

    def events_of(self, uid: str) -> tuple[Event, ...]:
        """Newest first."""
        return tuple(sorted(self.events.get(uid, ()), key=lambda event: event.at, reverse=True))


def uses(pod: Pod, domain: ComputeDomain, claims: Iterable[ResourceClaim]) -> bool:
    """Whether a pod uses the domain: by its template, or by a claim that asks for it."""
    meta = pod.metadata
    template = domain.spec.channel.resourceClaimTemplate.name
    here = meta.namespace == domain.metadata.namespace
    if here and any(entry.resourceClaimTemplateName == template for entry in pod.spec.resourceClaims):
        return True
    mine = {claim.metadata.path: claim for claim in claims}
    named = (f"{meta.namespace}/{entry.resourceClaimName}" for entry in pod.spec.resourceClaims)
    return any(name in mine for name in named) or any(
        user.uid == meta.uid for claim in mine.values() for user in claim.status.reservedFor
    )


def asks_for(claim: ResourceClaim, uid: str) -> bool:
    """Whether a claim is for a channel of that ComputeDomain."""
    if claim.metadata.labels.get(names.DOMAIN_LABEL) == uid:
        return True
    return any(parameters.get("domainID") == uid for parameters in _parameters(claim))


def is_daemons(claim: ResourceClaim) -> bool:
    """Whether a claim is an IMEX daemon's."""
    return any(str(parameters.get("kind")) == "ComputeDomainDaemonConfig" for parameters in _parameters(claim))


def _parameters(claim: ResourceClaim) -> Iterable[Mapping[str, object]]:
    allocated = claim.status.allocation.devices.config if claim.status.allocation else ()
    for config in (*allocated, *claim.spec.devices.config):
        if config.opaque is not None and config.opaque.driver == names.CD_DRIVER:
            yield config.opaque.parameters
