"""Kubernetes quantities ("250m", "1Gi", "4") as exact numbers: the API server writes them its own way. Pure."""

from decimal import Decimal, InvalidOperation

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


def same_amounts(some: object, others: object) -> bool:
    """Whether two mappings of resources ask for the same, however it is written: 1000m is 1."""
    if not isinstance(some, dict) or not isinstance(others, dict) or some.keys() != others.keys():
        return False
    try:
        return all(quantity(some[name]) == quantity(others[name]) for name in some)
    except ValueError:
        return False
