"""Pure: whether a label selector, a node selector or a toleration matches."""

from collections.abc import Callable, Mapping

from nvdra.sim.kube.shapes import Json, labels, name

Labels = Mapping[str, str]


def _number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


def _compare(have: str | None, values: list[str], *, greater: bool) -> bool:
    left, right = _number(have), _number(values[0] if values else None)
    if left is None or right is None:
        return False
    return left > right if greater else left < right


_OPERATORS: dict[str, Callable[[str | None, list[str]], bool]] = {
    "In": lambda have, values: have is not None and have in values,
    "NotIn": lambda have, values: have is None or have not in values,
    "Exists": lambda have, _: have is not None,
    "DoesNotExist": lambda have, _: have is None,
    "Gt": lambda have, values: _compare(have, values, greater=True),
    "Lt": lambda have, values: _compare(have, values, greater=False),
}


def expression_matches(expression: Json, having: Labels) -> bool:
    """One `matchExpressions[]`; an unknown operator matches nothing."""
    operator = _OPERATORS.get(expression["operator"])
    return operator is not None and operator(having.get(expression["key"]), expression.get("values") or [])


def selector_matches(selector: Json | None, having: Labels) -> bool:
    """A LabelSelector: None selects nothing, an empty one everything."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    if any(having.get(k) != v for k, v in wanted.items()):
        return False
    return all(expression_matches(e, having) for e in selector.get("matchExpressions") or ())


def term_matches(term: Json, node: Json) -> bool:
    """One node selector term; an empty one matches no node."""
    fields, expressions = term.get("matchFields") or (), term.get("matchExpressions") or ()
    if not fields and not expressions:
        return False
    by_field = {"metadata.name": name(node)}
    return all(expression_matches(e, by_field) for e in fields) and all(
        expression_matches(e, labels(node)) for e in expressions
    )


def node_selector_matches(selector: Json | None, node: Json) -> bool:
    """A NodeSelector (its terms are alternatives); None matches every node."""
    if not selector:
        return True
    return any(term_matches(term, node) for term in selector.get("nodeSelectorTerms") or ())


def affinity(pod_spec: Json, kind: str, strength: str) -> object:
    """`spec.affinity.<kind>.<strength>DuringSchedulingIgnoredDuringExecution`."""
    return ((pod_spec.get("affinity") or {}).get(kind) or {}).get(f"{strength}DuringSchedulingIgnoredDuringExecution")


def wants_node(pod_spec: Json, node: Json) -> bool:
    """`nodeSelector` and required node affinity of a pod spec."""
    wanted = pod_spec.get("nodeSelector") or {}
    if any(labels(node).get(k) != v for k, v in wanted.items()):
        return False
    required = affinity(pod_spec, "nodeAffinity", "required")
    return node_selector_matches(required if isinstance(required, dict) else None, node)


def tolerates(toleration: Json, taint: Json) -> bool:
    """One toleration against one taint (of a node or of a device)."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def untolerated(taints: list[Json], tolerations: list[Json], effects: frozenset[str]) -> Json | None:
    """The first taint with one of these effects that nothing tolerates."""
    for taint in taints:
        if taint.get("effect") in effects and not any(tolerates(t, taint) for t in tolerations):
            return taint
    return None


HARD = frozenset({"NoSchedule", "NoExecute"})
SOFT = frozenset({"PreferNoSchedule"})
EVICTING = frozenset({"NoExecute"})
