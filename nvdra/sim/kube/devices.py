"""Pure: which devices a node has to offer (pools of ResourceSlices), and which of them a CEL selector takes."""

import json
from collections.abc import Iterable
from typing import Any, Final

import celpy
from attrs import frozen
from celpy import celtypes
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError

from nvdra.sim.kube.selectors import node_selector_matches
from nvdra.sim.kube.shapes import Json, dig, name

DeviceId = tuple[str, str, str]
"""Driver, pool, device."""
_REMEMBERED: Final = 50_000


class SelectorError(Exception):
    """A CEL selector does not compile, or fails on a device. As in Kubernetes it ends the scheduling attempt."""


@frozen
class Candidate:
    """A device that a node could use. `local` devices hang on their node."""

    id: DeviceId
    device: Json
    local: bool


@frozen
class Pool:
    """All devices of one (driver, pool) that concern one node. `trouble` says why it must not be used."""

    driver: str
    name: str
    devices: tuple[Candidate, ...]
    trouble: str = ""


def pools_for(node: Json, slices: Iterable[Json], everywhere: Iterable[Json]) -> list[Pool]:
    """Gather a node's pools: `slices` are those that may concern it, `everywhere` all of the same pools."""
    newest: dict[tuple[str, str], int] = {}
    for item in everywhere:
        pool = _pool_key(item)
        newest[pool] = max(newest.get(pool, 0), _generation(item))
    grouped: dict[tuple[str, str], list[Json]] = {}
    for item in slices:
        if _concerns(item, node) and _generation(item) == newest.get(_pool_key(item), _generation(item)):
            grouped.setdefault(_pool_key(item), []).append(item)
    return [_pool(key, sorted(found, key=name)) for key, found in sorted(grouped.items())]


def _pool(key: tuple[str, str], slices: list[Json]) -> Pool:
    driver, pool = key
    wanted = dig(slices[0], "spec", "pool", "resourceSliceCount")
    if len(slices) != wanted:
        text = f"pool {pool} of {driver} is being updated ({len(slices)} of {wanted} slices seen)"
        return Pool(driver, pool, (), text)
    found = [
        Candidate((driver, pool, device["name"]), device, bool(dig(item, "spec", "nodeName")))
        for item in slices
        for device in dig(item, "spec", "devices") or ()
    ]
    if len({candidate.id for candidate in found}) != len(found):
        return Pool(driver, pool, (), f"pool {pool} of {driver} is invalid: a device name occurs twice")
    return Pool(driver, pool, tuple(found))


def _pool_key(item: Json) -> tuple[str, str]:
    return item["spec"]["driver"], item["spec"]["pool"]["name"]


def _generation(item: Json) -> int:
    return int(item["spec"]["pool"].get("generation") or 0)


def _concerns(item: Json, node: Json) -> bool:
    spec = item["spec"]
    if spec.get("nodeName"):
        return bool(spec["nodeName"] == name(node))
    if spec.get("nodeSelector"):
        return node_selector_matches(spec["nodeSelector"], node)
    return bool(spec.get("allNodes"))


class _Domains(celtypes.MapType):
    """`device.attributes`: an unknown domain is an empty map, as in Kubernetes."""

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if key in self else celtypes.MapType({})


class DeviceSelectors:
    """CEL selectors over devices. Answers are remembered by expression and what a device looks like."""

    def __init__(self) -> None:
        self._environment = celpy.Environment()
        self._programs: dict[str, Any] = {}
        self._answers: dict[tuple[str, str], bool] = {}

    def takes(self, expression: str, candidate: Candidate) -> bool:
        """The expression holds for the device; SelectorError when that cannot be said."""
        seen = {k: candidate.device.get(k) for k in ("attributes", "capacity")}
        known = (expression, json.dumps([candidate.id[0], seen], sort_keys=True))
        if known not in self._answers:
            if len(self._answers) > _REMEMBERED:
                self._answers.clear()
            self._answers[known] = self._evaluate(expression, candidate)
        return self._answers[known]

    def _evaluate(self, expression: str, candidate: Candidate) -> bool:
        try:
            program = self._programs.get(expression)
            if program is None:
                program = self._environment.program(self._environment.compile(expression))
                self._programs[expression] = program
            answer = program.evaluate({"device": _as_cel(candidate)})
        except CELParseError as error:
            raise SelectorError(f"CEL selector {expression!r} does not compile: {error}") from error
        except CELEvalError as error:
            raise SelectorError(f"CEL selector {expression!r} failed on device {candidate.id[2]}: {error}") from error
        if not isinstance(answer, celtypes.BoolType):
            raise SelectorError(f"CEL selector {expression!r} gives {answer!r}, not a boolean")
        return bool(answer)


def _as_cel(candidate: Candidate) -> Any:
    driver = candidate.id[0]
    attributes = {k: _attribute(v) for k, v in (candidate.device.get("attributes") or {}).items()}
    amounts = candidate.device.get("capacity") or {}
    capacity = {k: celtypes.StringType(v["value"]) for k, v in amounts.items()}
    seen = {"driver": celtypes.StringType(driver)}
    seen["attributes"] = _by_domain(driver, attributes)
    seen["capacity"] = _by_domain(driver, capacity)
    return celtypes.MapType({celtypes.StringType(k): v for k, v in seen.items()})


def _attribute(value: Json) -> Any:
    if "int" in value:
        return celtypes.IntType(value["int"])
    if "bool" in value:
        return celtypes.BoolType(value["bool"])
    return celtypes.StringType(str(value.get("string", value.get("version", ""))))


def _by_domain(driver: str, values: dict[str, Any]) -> Any:
    domains: dict[str, dict[Any, Any]] = {driver: {}}
    for key, value in values.items():
        domain, _, short = key.rpartition("/")
        domains.setdefault(domain or driver, {})[celtypes.StringType(short)] = value
    return _Domains({celtypes.StringType(k): celtypes.MapType(v) for k, v in domains.items()})
