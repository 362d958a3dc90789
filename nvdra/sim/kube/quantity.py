"""What pods ask of nodes, in Kubernetes quantities."""

from decimal import Decimal

from nvdra.api.quantity import quantity
from nvdra.sim.kube.shapes import Json

__all__ = ["pod_requests", "quantity"]


def pod_requests(pod: Json) -> dict[str, Decimal]:
    """What a pod asks of a node: the sum over its containers (limits count as requests), init containers as maximum."""
    total: dict[str, Decimal] = {}
    for container in pod["spec"].get("containers") or ():
        for resource, amount in _requests(container).items():
            total[resource] = total.get(resource, Decimal(0)) + amount
    for container in pod["spec"].get("initContainers") or ():
        for resource, amount in _requests(container).items():
            total[resource] = max(total.get(resource, Decimal(0)), amount)
    return total


def _requests(container: Json) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    merged = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {resource: quantity(amount) for resource, amount in merged.items()}
