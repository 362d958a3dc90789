"""Pure: pod affinity and anti-affinity by topology, required ones as a filter and preferred ones as a score."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import frozen

from nvdra.sim.kube.selectors import affinity, selector_matches, term_matches
from nvdra.sim.kube.shapes import Json, deleting, labels, name, namespace

NodeOf = Callable[[str], Json | None]


@frozen
class Neighbours:
    """The pods that are bound already, each with its node's name, and the nodes' labels."""

    bound: Sequence[tuple[Json, str]]
    labels_of: Mapping[str, Mapping[str, str]]

    def topologies(self, term: Json, pod: Json, key: str) -> dict[str, int]:
        """How many pods that a term selects sit in each value of its topology key."""
        counts: dict[str, int] = {}
        for other, node in self.bound:
            value = self.labels_of.get(node, {}).get(key)
            if value is not None and selects(term, pod, other):
                counts[value] = counts.get(value, 0) + 1
        return counts


def selects(term: Json, pod: Json, other: Json) -> bool:
    """A pod affinity term of `pod` selects `other`."""
    if namespace(other) not in (term.get("namespaces") or [namespace(pod)]):
        return False
    return not deleting(other) and selector_matches(term.get("labelSelector"), labels(other))


@frozen
class Rules:
    """The required terms of one pod, with the topologies they allow or bar, and the preferred ones with weights."""

    allowed: tuple[tuple[str, frozenset[str] | None], ...]
    barred: tuple[tuple[str, frozenset[str]], ...]
    liked: tuple[tuple[str, Mapping[str, int]], ...]

    def refuse(self, node_labels: Mapping[str, str]) -> str:
        """Why a node with these labels is out; "" when it is not."""
        for key, values in self.allowed:
            if key not in node_labels or (values is not None and node_labels[key] not in values):
                return "node(s) didn't match pod affinity rules"
        if any(node_labels.get(key) in values for key, values in self.barred):
            return "node(s) didn't match pod anti-affinity rules"
        return ""

    def score(self, node_labels: Mapping[str, str]) -> int:
        """Sum of the weights of what the pod would like."""
        return sum(weights.get(node_labels.get(key, ""), 0) for key, weights in self.liked)


NO_RULES = Rules((), (), ())


def rules_of(pod: Json, neighbours: Neighbours) -> Rules:
    """Look at all neighbours once, so that asking about a node is cheap."""
    allowed = [_allowed(term, pod, neighbours) for term in _terms(affinity(pod["spec"], "podAffinity", "required"))]
    barred = [
        (term["topologyKey"], frozenset(neighbours.topologies(term, pod, term["topologyKey"])))
        for term in _terms(affinity(pod["spec"], "podAntiAffinity", "required"))
    ]
    liked = [*_liked(pod, neighbours, "podAffinity", 1), *_liked(pod, neighbours, "podAntiAffinity", -1)]
    return Rules(tuple(allowed), (*barred, *_barred_by_others(pod, neighbours)), tuple(liked))


def _terms(of: object) -> list[Json]:
    return of if isinstance(of, list) else []


def _allowed(term: Json, pod: Json, neighbours: Neighbours) -> tuple[str, frozenset[str] | None]:
    key = term["topologyKey"]
    found = neighbours.topologies(term, pod, key)
    starts_group = not found and selects(term, pod, pod)
    return key, None if starts_group else frozenset(found)


def _barred_by_others(pod: Json, neighbours: Neighbours) -> Iterable[tuple[str, frozenset[str]]]:
    for other, node in neighbours.bound:
        for term in _terms(affinity(other["spec"], "podAntiAffinity", "required")):
            value = neighbours.labels_of.get(node, {}).get(term["topologyKey"])
            if value is not None and selects(term, other, pod):
                yield term["topologyKey"], frozenset([value])


def _liked(pod: Json, neighbours: Neighbours, kind: str, sign: int) -> Iterable[tuple[str, Mapping[str, int]]]:
    for preferred in _terms(affinity(pod["spec"], kind, "preferred")):
        term = preferred["podAffinityTerm"]
        counts = neighbours.topologies(term, pod, term["topologyKey"])
        yield term["topologyKey"], {value: sign * preferred["weight"] * n for value, n in counts.items()}


def node_score(pod: Json, node: Json) -> int:
    """Weights of the preferred node affinity terms that a node meets, less one for each soft taint."""
    terms = _terms(affinity(pod["spec"], "nodeAffinity", "preferred"))
    return sum(term["weight"] for term in terms if term_matches(term["preference"], node))


def has_rules(pod: Json) -> bool:
    """Some pod affinity or anti-affinity is written in the pod."""
    written = pod["spec"].get("affinity") or {}
    return bool(written.get("podAffinity") or written.get("podAntiAffinity"))


def labels_by_node(nodes: Iterable[Json]) -> dict[str, Mapping[str, str]]:
    """Labels of every node by its name."""
    return {name(node): labels(node) for node in nodes}
