"""Pure: devices for the unallocated claims of one pod on one node, first fit, as the scheduler's plugin does it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from attrs import frozen

from nvdra.sim.kube.devices import Candidate, DeviceId, DeviceSelectors, Pool
from nvdra.sim.kube.selectors import HARD, untolerated
from nvdra.sim.kube.shapes import Json, dig, name

_MOST_RESULTS: Final = 32


class CannotAllocate(Exception):
    """This node has not what the claims ask for; the text says what is missing."""


@frozen
class Need:
    """One request of one claim, with the selectors of its class."""

    claim: str
    request: str
    selectors: tuple[str, ...]
    everything: bool
    count: int
    admin: bool
    tolerations: tuple[Json, ...]


@frozen
class Pick:
    """A device chosen for a request."""

    need: Need
    candidate: Candidate


def needs_of(claim: Json, classes: Mapping[str, Json]) -> list[Need]:
    """The requests of a claim; CannotAllocate for what this rack does not do, and for an unknown class."""
    devices = dig(claim, "spec", "devices") or {}
    if devices.get("constraints"):
        raise CannotAllocate(f"claim {name(claim)} has constraints, which the rack's scheduler does not know")
    return [_need(claim, request, classes) for request in devices.get("requests") or ()]


def _need(claim: Json, request: Json, classes: Mapping[str, Json]) -> Need:
    exactly = request.get("exactly")
    if exactly is None:
        raise CannotAllocate(f"claim {name(claim)} uses firstAvailable, which the rack's scheduler does not know")
    chosen = classes.get(exactly["deviceClassName"])
    if chosen is None:
        raise CannotAllocate(f"device class {exactly['deviceClassName']} does not exist")
    cel = [*(dig(chosen, "spec", "selectors") or ()), *(exactly.get("selectors") or ())]
    return Need(
        claim=name(claim),
        request=request["name"],
        selectors=tuple(s["cel"]["expression"] for s in cel),
        everything=exactly.get("allocationMode") == "All",
        count=int(exactly.get("count") or 1),
        admin=bool(exactly.get("adminAccess")),
        tolerations=tuple(exactly.get("tolerations") or ()),
    )


def allocate(
    needs: Sequence[Need], pools: Sequence[Pool], taken: frozenset[DeviceId], selectors: DeviceSelectors
) -> list[Pick]:
    """Devices for all needs together; CannotAllocate when there is no way."""
    usable = [[c for pool in pools for c in pool.devices if _fits(need, c, selectors)] for need in needs]
    for need, candidates in zip(needs, usable, strict=True):
        _possible(need, candidates, pools, taken)
    picks = next(_search(list(zip(needs, usable, strict=True)), taken, []), None)
    if picks is None:
        raise CannotAllocate("cannot allocate all claims")
    _within_limit(picks)
    return picks


def _possible(need: Need, candidates: list[Candidate], pools: Sequence[Pool], taken: frozenset[DeviceId]) -> None:
    trouble = next((pool.trouble for pool in pools if pool.trouble), "")
    if need.everything and trouble:
        raise CannotAllocate(trouble)
    if not candidates:
        raise CannotAllocate(trouble or "cannot allocate all claims")
    if need.everything and not need.admin and any(c.id in taken for c in candidates):
        raise CannotAllocate("cannot allocate all claims")


def _within_limit(picks: list[Pick]) -> None:
    for claim in {pick.need.claim for pick in picks}:
        count = sum(pick.need.claim == claim for pick in picks)
        if count > _MOST_RESULTS:
            raise CannotAllocate(f"claim {claim} would get {count} devices; {_MOST_RESULTS} are allowed")


def _fits(need: Need, candidate: Candidate, selectors: DeviceSelectors) -> bool:
    device = candidate.device
    if device.get("bindingConditions") or device.get("consumesCounters") or device.get("allowMultipleAllocations"):
        return False
    if not all(selectors.takes(expression, candidate) for expression in need.selectors):
        return False
    return untolerated(device.get("taints") or [], list(need.tolerations), HARD) is None


def _search(
    wanted: list[tuple[Need, list[Candidate]]], taken: frozenset[DeviceId], chosen: list[Pick]
) -> Iterator[list[Pick]]:
    if not wanted:
        yield chosen
        return
    (need, candidates), rest = wanted[0], wanted[1:]
    for group in _groups(need, candidates, taken):
        used = frozenset() if need.admin else frozenset(candidate.id for candidate in group)
        yield from _search(rest, taken | used, [*chosen, *(Pick(need, candidate) for candidate in group)])


def _groups(need: Need, candidates: list[Candidate], taken: frozenset[DeviceId]) -> Iterator[list[Candidate]]:
    free = candidates if need.admin else [c for c in candidates if c.id not in taken]
    if need.everything:
        if len(free) == len(candidates):
            yield free
        return
    yield from _combinations(free, need.count)


def _combinations(free: list[Candidate], count: int) -> Iterator[list[Candidate]]:
    if count == 0:
        yield []
        return
    for at, candidate in enumerate(free):
        for rest in _combinations(free[at + 1 :], count - 1):
            yield [candidate, *rest]


def allocation_of(claim: Json, picks: Sequence[Pick], classes: Mapping[str, Json], node: str) -> Json:
    """`status.allocation` of a claim."""
    mine = [pick for pick in picks if pick.need.claim == name(claim)]
    results = [_result(pick) for pick in mine]
    devices: Json = {"results": results}
    config = _config(claim, classes)
    if config:
        devices["config"] = config
    allocation: Json = {"devices": devices}
    if any(pick.candidate.local for pick in mine):
        here = {"key": "metadata.name", "operator": "In", "values": [node]}
        allocation["nodeSelector"] = {"nodeSelectorTerms": [{"matchFields": [here]}]}
    return allocation


def _result(pick: Pick) -> Json:
    driver, pool, device = pick.candidate.id
    result: Json = {"request": pick.need.request, "driver": driver, "pool": pool, "device": device}
    if pick.need.admin:
        result["adminAccess"] = True
    if pick.need.tolerations:
        result["tolerations"] = list(pick.need.tolerations)
    return result


def _config(claim: Json, classes: Mapping[str, Json]) -> list[Json]:
    devices = claim["spec"]["devices"]
    by_class: dict[str, list[str]] = {}
    for request in devices.get("requests") or ():
        by_class.setdefault(request["exactly"]["deviceClassName"], []).append(request["name"])
    made = [
        {"source": "FromClass", "requests": requests, **config}
        for chosen, requests in by_class.items()
        for config in dig(classes[chosen], "spec", "config") or ()
    ]
    made += [{"source": "FromClaim", **config} for config in devices.get("config") or ()]
    everything = {request["name"] for request in devices.get("requests") or ()}
    return [_for_all(config) if everything <= set(config.get("requests") or ()) else config for config in made]


def _for_all(config: Json) -> Json:
    """No requests means all of them; the scheduler of 1.37 leaves them out where all are named."""
    return {key: value for key, value in config.items() if key != "requests"}
