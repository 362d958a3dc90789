"""x-kubernetes-validations: CEL rules of a schema, compiled once, asked with self and oldSelf."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define, field, frozen
from celpy import Environment, celtypes
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError

from nvdra.sim.apiserver.schema import type_name
from nvdra.sim.apiserver.status import Flaw

Schema = Mapping[str, Any]
_ITEMS = "[]"
_VALUES = "{}"
_REASONS = {
    "FieldValueInvalid": "Invalid value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
}


def _trim(text: celtypes.StringType) -> celtypes.StringType:
    return celtypes.StringType(text.strip())


def _lower(text: celtypes.StringType) -> celtypes.StringType:
    return celtypes.StringType(text.lower())


def _upper(text: celtypes.StringType) -> celtypes.StringType:
    return celtypes.StringType(text.upper())


def _split(text: celtypes.StringType, sign: celtypes.StringType) -> celtypes.ListType:
    return celtypes.ListType([celtypes.StringType(part) for part in text.split(sign)])


_FUNCTIONS: dict[str, Any] = {"lowerAscii": _lower, "upperAscii": _upper, "trim": _trim, "split": _split}
_ENVIRONMENT = Environment()


class RuleError(ValueError):
    """A rule that is not CEL, or uses what is not there."""


@frozen
class Rule:
    """One rule: what it says, and how to ask it."""

    text: str
    message: str
    reason: str
    program: Any
    told: Any = None
    field_path: str = ""
    transition: bool = False

    def flaw(self, value: Any, old: Any, path: str) -> Flaw | None:
        """What it objects to, if it does. `old` None: the value is new, rules of change do not apply."""
        if self.transition and old is None:
            return None
        names = {"self": json_to_cel(value)}
        if self.transition:
            names["oldSelf"] = json_to_cel(old)
        try:
            if self.program.evaluate(names):
                return None
            message = str(self.told.evaluate(names)) if self.told else self.message or f"failed rule: {self.text}"
        except CELEvalError as error:
            message = f"rule evaluation error: {error.args[0]}"
        shown = json.dumps(value) if not isinstance(value, dict | list) else f'"{type_name(value)}"'
        head = _REASONS[self.reason] + (f": {shown}" if self.reason == "FieldValueInvalid" else "")
        return Flaw(path + self.field_path, f"{head}: {message}", self.reason)


@define
class Rules:
    """The rules of one schema, as a tree of the places that have some."""

    here: list[Rule] = field(factory=list)
    below: "dict[str, Rules]" = field(factory=dict)

    def flaws(self, value: Any, old: Any, path: str = "") -> Iterator[Flaw]:
        """Everything that some rule objects to. What has not changed is not asked again but by rules of change."""
        for rule in self.here:
            if (rule.transition or value != old) and (found := rule.flaw(value, old, path)):
                yield found
        if isinstance(value, list) and _ITEMS in self.below:
            for index, item in enumerate(value):
                yield from self.below[_ITEMS].flaws(item, None, f"{path}[{index}]")
        if isinstance(value, dict):
            before = old if isinstance(old, dict) else {}
            for name, item in value.items():
                rules = self.below.get(name) or self.below.get(_VALUES)
                if rules is not None:
                    yield from rules.flaws(item, before.get(name), f"{path}.{name}" if path else name)


def compiled(schema: Schema) -> Rules:
    """The rules of a schema. Raises RuleError for one that cannot be compiled."""
    rules = Rules([_rule(rule) for rule in schema.get("x-kubernetes-validations") or ()])
    inner = dict(schema.get("properties") or {})
    if isinstance(schema.get("items"), dict):
        inner[_ITEMS] = schema["items"]
    if isinstance(schema.get("additionalProperties"), dict):
        inner[_VALUES] = schema["additionalProperties"]
    for name, part in inner.items():
        found = compiled(part)
        if found.here or found.below:
            rules.below[name] = found
    return rules


def _rule(said: Mapping[str, Any]) -> Rule:
    if said.get("optionalOldSelf"):
        raise RuleError(f"rule {said['rule']!r}: optionalOldSelf is not supported by the embedded API server")
    text = said["rule"]
    reason = said.get("reason", "FieldValueInvalid")
    if reason not in _REASONS:
        raise RuleError(f"rule {text!r}: unknown reason {reason!r}")
    told = _program(said["messageExpression"]) if "messageExpression" in said else None
    message = said.get("message", "")
    return Rule(text, message, reason, _program(text), told, said.get("fieldPath", ""), "oldSelf" in text)


def _program(text: str) -> Any:
    try:
        return _ENVIRONMENT.program(_ENVIRONMENT.compile(text), functions=_FUNCTIONS)
    except CELParseError as error:
        raise RuleError(f"rule {text!r}: {error}") from error
