"""Kubernetes quantities ("250m", "1Gi", "4") as exact numbers."""

from decimal import Decimal, InvalidOperation

from nvdra.sim.kube.shapes import Json

_FACTORS = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def quantity(text: object) -> Decimal:
    """The number that a quantity stands for; ValueError when it is none."""
    value = str(text)
    digits = value.rstrip("numkKMGTPEi")
    try:
        return Decimal(digits) * _FACTORS[value[len(digits) :]]
    except (InvalidOperation, KeyError):
        raise ValueError(f"{value!r} is no quantity; write it like 4, 250m or 16Gi") from None


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
