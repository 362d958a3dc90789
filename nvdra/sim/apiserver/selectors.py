"""Label and field selectors: parsed once, matched against JSON objects. Unknown fields are refused."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from nvdra.sim.apiserver.resources import Resource
from nvdra.sim.apiserver.status import bad_request

Json = dict[str, Any]

_SET = re.compile(r"^([^\s!=<>(),]+)\s+(in|notin)\s*\(([^()]*)\)$")
_COMPARE = re.compile(r"^([^\s!=<>(),]+)\s*(==|=|!=|>|<)\s*([^\s!=<>(),]*)$")
_EXISTS = re.compile(r"^(!?)\s*([^\s!=<>(),]+)$")
_COMMA = re.compile(r",(?![^(]*\))")
_FIELD = re.compile(r"^([^=!]+)(==|!=|=)(.*)$")

FIELDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    ("", "events"): (
        *(f"involvedObject.{part}" for part in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")),
        "involvedObject.resourceVersion",
        "reason", "reportingComponent", "source", "type",
    ),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "namespaces"): ("status.phase",),
    ("", "secrets"): ("type",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("batch", "jobs"): ("status.successful",),
    ("resource.k8s.io", "resourceslices"): ("spec.nodeName", "spec.driver"),
}  # fmt: skip
"""Selectable fields beside metadata.name and metadata.namespace."""
INDEXED = ("spec.nodeName",)
"""Fields that collections keep an index of."""

_EVENT_SPELLING = {
    "regarding": "involvedObject", "reportingController": "reportingComponent", "note": "message",
}  # fmt: skip


@frozen
class Requirement:
    """One clause: a label (or a field) and the values that it may, or may not, have."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, value: str | None) -> bool:
        """Whether a value (None: absent) satisfies it."""
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
        return value is not None and _is_number(value) and _ordered(self.operator, int(value), self.values)


def _is_number(text: str) -> bool:
    return text.lstrip("-").isdigit()


def _ordered(operator: str, value: int, values: frozenset[str]) -> bool:
    bound = int(next(iter(values)))
    return value > bound if operator == ">" else value < bound


@frozen
class Selector:
    """Both selectors of a request. `exact` are the clauses that name one value: what an index can answer."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()
    name: str | None = None
    exact: tuple[tuple[str, str], ...] = field(default=(), eq=False)

    @property
    def everything(self) -> bool:
        """It selects all objects."""
        return not self.labels and not self.fields

    def matches(self, obj: Json) -> bool:
        """Whether an object is selected."""
        if self.labels:
            labels = obj["metadata"].get("labels") or {}
            if not all(clause.holds(labels.get(clause.key)) for clause in self.labels):
                return False
        return all(clause.holds(field_of(obj, clause.key)) for clause in self.fields)


EVERYTHING = Selector()


def field_of(obj: Json, path: str) -> str:
    """The value of a selectable field as text; "" where it is not set."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return _unset(obj, path)
    if path == "source":
        return str(value.get("component", "")) if isinstance(value, dict) else str(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unset(obj: Json, path: str) -> str:
    if path in ("spec.unschedulable", "spec.hostNetwork"):
        return "false"
    return str((obj.get("status") or {}).get("succeeded", 0)) if path == "status.successful" else ""


def parse(resource: Resource, labels: str = "", fields: str = "") -> Selector:
    """Read both selectors. Raises a 400 Status for what is not one."""
    if not labels and not fields:
        return EVERYTHING
    label_clauses = parse_labels(labels)
    field_clauses = parse_fields(resource, fields)
    one = [("label:" + c.key, next(iter(c.values))) for c in label_clauses if c.operator == "in" and len(c.values) == 1]
    chosen = {c.key: next(iter(c.values)) for c in field_clauses if c.operator == "in"}
    one += [(key, value) for key, value in chosen.items() if key in INDEXED]
    return Selector(label_clauses, field_clauses, chosen.get("metadata.name"), tuple(one))


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Read a label selector."""
    return tuple(_label_clause(part.strip()) for part in _COMMA.split(text)) if text.strip() else ()


def _label_clause(text: str) -> Requirement:
    if found := _SET.match(text):
        return Requirement(found[1], found[2], frozenset(value.strip() for value in found[3].split(",")))
    if found := _COMPARE.match(text):
        key, sign, value = found.groups()
        if sign in "<>" and not _is_number(value):
            raise bad_request(f"unable to parse requirement: {value!r} in {text!r} is not an integer")
        return Requirement(key, {"=": "in", "==": "in", "!=": "notin"}.get(sign, sign), frozenset([value]))
    if found := _EXISTS.match(text):
        return Requirement(found[2], "absent" if found[1] else "exists")
    raise bad_request(f"unable to parse requirement: {text!r} is not a label selector")


def parse_fields(resource: Resource, text: str) -> tuple[Requirement, ...]:
    """Read a field selector of that resource."""
    if not text:
        return ()
    known = {"metadata.name", *FIELDS.get(resource.key, ()), *_custom_fields(resource)}
    if resource.namespaced:
        known.add("metadata.namespace")
    spelling: Callable[[str], str] = _event_field if resource.group == "events.k8s.io" else str
    if resource.group == "events.k8s.io":
        known.update(FIELDS["", "events"])
    return tuple(_field_clause(part, known, spelling) for part in re.split(r"(?<!\\),", text) if part)


def _event_field(name: str) -> str:
    first, _, rest = name.partition(".")
    return ".".join(part for part in (_EVENT_SPELLING.get(first, first), rest) if part)


def _custom_fields(resource: Resource) -> set[str]:
    versions = (resource.definition or {}).get("spec", {}).get("versions", [])
    return {f["jsonPath"].lstrip(".") for version in versions for f in version.get("selectableFields", [])}


def _field_clause(text: str, known: set[str], spelling: Callable[[str], str]) -> Requirement:
    found = _FIELD.match(text)
    if not found:
        raise bad_request(
            f'Unable to find "{text}": invalid field selector; want name=value, name==value or name!=value'
        )
    name = spelling(found[1].strip())
    if name not in known:
        raise bad_request(f"field label not supported: {found[1]}")
    value = re.sub(r"\\(.)", r"\1", found[3])
    return Requirement(name, "notin" if found[2] == "!=" else "in", frozenset([value]))
