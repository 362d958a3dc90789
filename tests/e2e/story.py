"""What an example looks like from outside, freed of names, ids and times, so that two places can be compared."""

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field, frozen

from nvdra.api import names
from nvdra.api.kind import Kind
from tests.cluster.view import CLAIMS, DOMAINS, EVENTS, NODES, PODS, ROSTERS, Film, Json, Shot, filmed, until
from tests.cluster.workloads import domain, worker
from tests.e2e.place import GUIDE, Place

GUIDES = ("imex-channel-injection", "imex-channel-0")
SETS: Kind[Json] = Kind(dict, "DaemonSet", "daemonsets", group="apps")
POLICIES: Kind[Json] = Kind(dict, "NetworkPolicy", "networkpolicies", group="networking.k8s.io")
TEMPLATES: Kind[Json] = Kind(dict, "ResourceClaimTemplate", "resourceclaimtemplates", group="resource.k8s.io")
SLICES: Kind[Json] = Kind(dict, "ResourceSlice", "resourceslices", group="resource.k8s.io", namespaced=False)
FILMED = (DOMAINS, ROSTERS, NODES, PODS, SETS, POLICIES, CLAIMS, TEMPLATES, SLICES, EVENTS)
_LISTS_BY = ("type", "name", "key", "topologyKey")


@frozen
class Story:
    """`turns`: what changed in each object, in its order; `told`: Events; `shapes`: which fields there were in the end."""

    turns: dict[str, list[str]]
    told: set[str]
    shapes: dict[str, set[str]]


async def guide(place: Place) -> Story:
    """The guide's first example, from apply to everything gone."""
    name = GUIDES[0]

    def played() -> None:
        place.user.kubectl("apply", "-f", GUIDE)
        place.runs(name)
        until("the domain is Ready", lambda: place.is_ready(name), 20)
        place.said(name, "Started: ")

    return await _filmed(place, GUIDES, played, lambda: place.user.kubectl("delete", "-f", GUIDE, "--timeout=60s"))


async def pair(place: Place) -> Story:
    """A worker that waits for the second of two, both run, and the workers go before the domain does.

    Its names are no other test's: Events of a pod outlive it for an hour, and are asked for by its name.
    """

    def played() -> None:
        place.user.apply(domain("twins", 2), worker("twins", 1))
        place.said("twins-1", "1 of 2")
        place.said("twins-1", "FailedPrepareDynamicResources: ")
        place.user.apply(worker("twins", 2))
        place.runs("twins-1", "twins-2")
        until("the domain is Ready", lambda: place.is_ready("twins"), 20)
        place.said("twins-2", "Started: ")

    def over() -> None:
        place.user.kubectl("delete", "pods", "twins-1", "twins-2", "--timeout=60s")
        until("both have left", lambda: not place.members("twins"), 20)
        place.user.kubectl("delete", "computedomain", "twins", "--timeout=60s")

    return await _filmed(place, ("twins",), played, over)


async def _filmed(place: Place, mine: tuple[str, ...], played: Callable[[], Any], over: Callable[[], Any]) -> Story:
    async with filmed(place.user.kubeconfig, *FILMED) as film:
        await asyncio.to_thread(played)
        ready = len(film.shots)
        await asyncio.to_thread(over)
        await asyncio.to_thread(place.all_gone)
    return _Reader(film, mine).story(ready)


@define
class _Reader:
    """Makes a story of a film."""

    film: Film
    mine: tuple[str, ...]
    """How the names of what belongs to the example begin."""
    roles: dict[str, str] = field(factory=dict)
    """Of objects, by their uid."""

    def story(self, ready: int) -> Story:
        turns: dict[str, list[str]] = {}
        shapes: dict[str, set[str]] = {}
        told = set()
        for number, shot in enumerate(self.film.shots):
            role = self.role(shot.object)
            if not role:
                continue
            seen = turns.setdefault(role, [])
            for turn in _turns(shot):
                if turn not in seen:
                    seen.append(turn)
            if number < ready and shot.type != "DELETED":
                shapes[role] = set(_paths(shot.object, ""))
        for shot in self.film.shots:
            if shot.object["kind"] == "Event" and shot.type == "ADDED":
                told.add(self._event(shot.object))
        return Story(turns, told - {""}, shapes)

    def role(self, found: Json) -> str:
        """Whose part it plays in the example; "" for none."""
        meta, kind = found["metadata"], found["kind"]
        owned = meta["name"].startswith(self.mine)
        if kind == "Event":
            return ""
        if kind == "Node":
            return "node" if names.DOMAIN_LABEL in meta.get("labels", {}) or meta["uid"] in self.roles else ""
        if kind == "ResourceSlice":
            return "ResourceSlice" if found["spec"]["driver"] == names.CD_DRIVER else ""
        if not owned and kind != "ComputeDomainClique":
            return ""
        role = f"{'daemon ' if meta.get('namespace') == names.DRIVER_NAMESPACE else 'worker '}{kind}"
        self.roles[meta["uid"]] = role
        return role

    def _event(self, found: Json) -> str:
        role = self.roles.get(found["involvedObject"].get("uid", ""), "")
        source = found.get("source", {}).get("component") or found.get("reportingComponent", "")
        return f"{role}: {found['type']} {found['reason']} by {source}" if role else ""


def _turns(shot: Shot) -> Iterator[str]:
    """What one shot shows of an object's state."""
    if shot.type == "DELETED":
        yield "gone"
        return
    meta, status = shot.object["metadata"], shot.object.get("status", {})
    yield from (f"finalizer {finalizer}" for finalizer in meta.get("finalizers", ()))
    for kind in ("label", "annotation"):
        yield from (f"{kind} {key}" for key in meta.get(f"{kind}s", ()) if key.startswith(names.GROUP))
    if "deletionTimestamp" in meta:
        yield "is being deleted"
    yield from _states({"status": status} if isinstance(status, str) else status)  # a roster's is a word


def _states(status: Json) -> Iterator[str]:
    yield from (f"{word} {status[word]}" for word in ("phase", "status") if isinstance(status.get(word), str))
    for condition in status.get("conditions", ()):
        yield f"{condition['type']} {condition['status']} {condition.get('reason', '')}".strip()
    for container in status.get("containerStatuses", ()):
        state, told = next(iter(container.get("state", {}).items()), ("", {}))
        yield f"container {state} {told.get('reason', '')}".strip()
    for key, word in (("allocation", "allocated"), ("reservedFor", "reserved")):
        if status.get(key):
            yield word


def _paths(found: Any, above: str) -> Iterator[str]:
    """Every field that has a value, by its path."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key != "managedFields":
                yield from _paths(value, f"{above}.{_anonymous(key)}")
        return
    if isinstance(found, list):
        for value in found:
            mark = next((value[key] for key in _LISTS_BY if isinstance(value, dict) and key in value), "")
            yield from _paths(value, f"{above}[{_anonymous(str(mark))}]")
        return
    yield above


def _anonymous(text: str) -> str:
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "UID", text)
    text = re.sub(r"\bnode-\d+\b", "node", text)
    return re.sub(r"-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-X", text)
