"""How the tests look at a cluster: kubectl as a user has it, and watches with the moment at which each thing was seen."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from attrs import define, field, frozen

from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import load
from nvdra.api import names
from nvdra.api.kind import Kind
from nvdra.errors import NvdraError

Json = dict[str, Any]
PODS: Kind[Json] = Kind(dict, "Pod", "pods")
NODES: Kind[Json] = Kind(dict, "Node", "nodes", namespaced=False)
EVENTS: Kind[Json] = Kind(dict, "Event", "events")
CLAIMS: Kind[Json] = Kind(dict, "ResourceClaim", "resourceclaims", group="resource.k8s.io")
DOMAINS: Kind[Json] = Kind(dict, "ComputeDomain", "computedomains", version=names.VERSION, group=names.GROUP)
ROSTERS: Kind[Json] = Kind(
    dict, "ComputeDomainClique", "computedomaincliques", version=names.VERSION, group=names.GROUP
)


@frozen
class User:
    """Somebody with kubectl and helm."""

    kubectl_program: Path
    helm_program: Path
    kubeconfig: Path
    flags: tuple[str, ...] = ()
    """Of kubectl, for each call."""
    cache: Path | None = None
    """What kubectl and helm remember of the API server. Beds of all releases have one address: none may have another's."""

    def kubectl(self, *arguments: str, told: str = "") -> str:
        """What kubectl prints; its complaint as an AssertionError."""
        return self._run(self.kubectl_program, *self.flags, *arguments, told=told)

    def helm(self, *arguments: str) -> str:
        """What helm prints."""
        return self._run(self.helm_program, *arguments)

    def apply(self, *objects: Json) -> None:
        """Apply objects that were made here."""
        self.kubectl("apply", "--server-side", "-f", "-", told=yaml.safe_dump_all(objects))

    def json(self, *arguments: str) -> Json:
        """What kubectl prints with -o json."""
        found: Json = json.loads(self.kubectl(*arguments, "-o", "json"))
        return found

    def attempt(self, program: Path, *arguments: str, told: str = "") -> subprocess.CompletedProcess[str]:
        """Run it, however it ends."""
        command = [str(program), f"--kubeconfig={self.kubeconfig}", *arguments]
        environment = {**os.environ, **({"KUBECACHEDIR": str(self.cache)} if self.cache else {})}
        return subprocess.run(command, input=told, capture_output=True, text=True, check=False, env=environment)

    def _run(self, program: Path, *arguments: str, told: str = "") -> str:
        ran = self.attempt(program, *arguments, told=told)
        assert ran.returncode == 0, f"{program.name} {' '.join(arguments)}:\n{ran.stdout}{ran.stderr}"
        return ran.stdout


@frozen
class Shot:
    """One thing as it was seen at one moment."""

    at: float
    type: str
    object: Json

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])


@define(eq=False)
class Film:
    """Everything that happened to some kinds of objects, in order, with the moment."""

    client: KubeClient
    shots: list[Shot] = field(factory=list)
    _moved: asyncio.Event = field(factory=asyncio.Event)

    async def roll(self, kind: Kind[Json]) -> None:
        """Until cancelled."""
        listed = await self.client.list(kind)
        for item in listed.items:
            self._seen("LISTED", {"kind": kind.kind, **item})
        version = listed.version
        while True:
            with suppress(NvdraError):
                async for event in self.client.watch(kind, version):
                    version = event.object["metadata"].get("resourceVersion", version)
                    if event.type != "BOOKMARK":
                        self._seen(event.type, event.object)

    async def first(self, what: str, fits: Callable[[Shot], bool], since: float = 0.0, limit: float = 120.0) -> Shot:
        """The first shot after `since` that fits, now or when it comes."""
        end = time.monotonic() + limit
        seen = 0
        while True:
            for shot in self.shots[seen:]:
                if shot.at >= since and fits(shot):
                    return shot
            seen = len(self.shots)
            self._moved.clear()
            left = end - time.monotonic()
            assert left > 0, f"not within {limit:.0f} s: {what}"
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._moved.wait()

    def _seen(self, kind: str, item: Json) -> None:
        self.shots.append(Shot(time.monotonic(), kind, item))
        self._moved.set()


@asynccontextmanager
async def filmed(kubeconfig: Path, *watched: Kind[Json]) -> AsyncIterator[Film]:
    """A film of these kinds while the block runs."""
    client = KubeClient(load(str(kubeconfig)), "test", qps=200, burst=400)
    film = Film(client)
    rolling = [asyncio.create_task(film.roll(kind)) for kind in watched]
    try:
        yield film
    finally:
        for task in rolling:
            task.cancel()
        await asyncio.gather(*rolling, return_exceptions=True)
        await client.close()


def running(pod: Json) -> bool:
    """Whether all of the pod's containers run."""
    states = pod.get("status", {}).get("containerStatuses", ())
    return bool(states) and all("running" in state.get("state", {}) for state in states)


def pod_ready(pod: Json) -> bool:
    """As kubectl's READY column."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def runs(name: str) -> Callable[[Shot], bool]:
    """Whether a shot shows the pod of that name with its containers running."""
    return lambda shot: shot.name == name and running(shot.object)


def until(what: str, probe: Callable[[], Any], limit: float = 60.0, every: float = 0.2) -> Any:
    """Ask again and again; what the probe said when it was true."""
    end = time.monotonic() + limit
    while not (found := probe()):
        assert time.monotonic() < end, f"not within {limit:.0f} s: {what}"
        time.sleep(every)
    return found
