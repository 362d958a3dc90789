"""What can be seen of a rack under test: objects, files, containers. Polls with deadlines, never sleeps."""

import asyncio
import inspect
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from attrs import define

from nvdra.api import names
from nvdra.api.kind import Kind
from nvdra.errors import NotFound
from nvdra.sim.kube.kinds import CLAIM_TEMPLATES, CLAIMS, EVENTS, NETWORK_POLICIES, NODES, PODS, SLICES
from nvdra.sim.kube.runtime.containers import Container
from nvdra.sim.rack import Rack

Json = dict[str, Any]
DOMAINS = Kind(dict, "ComputeDomain", "computedomains", version=names.VERSION, group=names.GROUP)
ROSTERS = Kind(dict, "ComputeDomainClique", "computedomaincliques", version=names.VERSION, group=names.GROUP)
OWN = names.DRIVER_NAMESPACE
PLUGIN_CONTAINER = "compute-domains"
LIMIT = 20.0
"""Seconds that anything may take on a busy machine; what is promised within less says so."""


@define(eq=False, repr=False)
class Sights:
    """One rack, looked at."""

    rack: Rack

    async def until(self, what: str, holds: Callable[[], Any], limit: float = LIMIT) -> Any:
        """Wait until something is so, and give what it gave; AssertionError with what was seen last when not in time."""
        end = time.monotonic() + limit
        while True:
            found = holds()
            found = await found if inspect.isawaitable(found) else found
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"not within {limit} s: {what}\n{await self.seen()}")
            await asyncio.sleep(0.03)

    async def stays(self, what: str, holds: Callable[[], Awaitable[Any]], seconds: float) -> None:
        """Something is so all the time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert await holds(), f"no longer so: {what}\n{await self.seen()}"
            await asyncio.sleep(0.03)

    async def get(self, kind: Any, name: str, namespace: str = "default") -> Json | None:
        """An object, or None."""
        try:
            found: Json = await self.rack.cluster.get(kind, name, namespace)
        except NotFound:
            return None
        return found

    async def all(self, kind: Any, namespace: str = "", labels: str = "") -> list[Json]:
        """A collection."""
        return list((await self.rack.cluster.list(kind, namespace, labels=labels)).items)

    async def domain(self, name: str = "cd", namespace: str = "default") -> Json:
        """A ComputeDomain."""
        found: Json = await self.rack.cluster.get(DOMAINS, name, namespace)
        return found

    async def condition(self, kind: str, name: str = "cd", namespace: str = "default") -> Json:
        """A condition of a ComputeDomain; empty while it has none."""
        found = (await self.domain(name, namespace)).get("status", {}).get("conditions") or []
        return next((c for c in found if c["type"] == kind), {})

    async def phase(self, pod: str, namespace: str = "default") -> str:
        """A pod's phase; "" for none."""
        found = await self.get(PODS, pod, namespace)
        return found.get("status", {}).get("phase", "Pending") if found else ""

    def runs(self, *pods: str) -> Callable[[], Awaitable[bool]]:
        """Whether all of them run."""

        async def all_run() -> bool:
            return all([await self.phase(pod) == "Running" for pod in pods])

        return all_run

    async def running(self, *pods: str, limit: float = LIMIT) -> None:
        """Wait until all of them run."""
        await self.until(f"{', '.join(pods)} running", self.runs(*pods), limit)

    async def events(self, name: str, reason: str = "") -> list[Json]:
        """Events about the object of that name."""
        found = await self.all(EVENTS)
        mine = [e for e in found if e["involvedObject"]["name"] == name]
        return [e for e in mine if reason in ("", e["reason"])]

    async def said(self, name: str, words: str, reason: str = "", limit: float = LIMIT) -> Json:
        """Wait for an Event about the object that has these words in it."""

        async def there() -> Json | None:
            return next((e for e in await self.events(name, reason) if words in e["message"]), None)

        found: Json = await self.until(f"an Event {reason} on {name} with {words!r}", there, limit)
        return found

    async def claim_of(self, pod: str, namespace: str = "default") -> Json | None:
        """The ResourceClaim that a pod holds, once it is allocated."""
        found = await self.get(PODS, pod, namespace)
        statuses = (found or {}).get("status", {}).get("resourceClaimStatuses") or [{}]
        entry = (found or {"spec": {"resourceClaims": [{}]}})["spec"]["resourceClaims"][0]
        name = entry.get("resourceClaimName") or statuses[0].get("resourceClaimName")
        claim = await self.get(CLAIMS, name, namespace) if name else None
        return claim if claim and claim.get("status", {}).get("allocation") else None

    async def label(self, node: str) -> str:
        """The uid of the ComputeDomain that the node carries."""
        return str((await self.node(node))["metadata"]["labels"].get(names.DOMAIN_LABEL, ""))

    async def node(self, name: str) -> Json:
        """A Node."""
        found: Json = await self.rack.cluster.get(NODES, name)
        return found

    async def daemons(self, node: str = "") -> list[Json]:
        """Daemon pods that are not going away, of one node or all."""
        pods = await self.all(PODS, OWN, names.DOMAIN_LABEL)
        return [p for p in pods if node in ("", p["spec"].get("nodeName")) and "deletionTimestamp" not in p["metadata"]]

    async def roster(self) -> Json | None:
        """The only roster."""
        found = await self.all(ROSTERS, OWN)
        return found[0] if found else None

    async def indices(self) -> dict[str, int]:
        """Node to index, over all rosters."""
        return {e["nodeName"]: e["index"] for r in await self.all(ROSTERS, OWN) for e in r.get("daemons") or ()}

    async def log(self, pod: str, container: str = "worker", namespace: str = "default") -> str:
        """What a container has printed."""
        return b"".join([chunk async for chunk in self.rack.world.logs(namespace, pod, container)]).decode()

    # The node's disk.

    def root(self, node: str = "node-1") -> Path:
        """Where the node's files are."""
        return self.rack.nodes[node].spec.root

    def plugin_folder(self, node: str = "node-1") -> Path:
        """The plugin's own folder."""
        return self.root(node) / "var/lib/kubelet/plugins" / names.CD_DRIVER

    def records(self, node: str = "node-1", kind: str = "channel") -> list[Json]:
        """Claim records on disk."""
        found = []
        for path in sorted((self.plugin_folder(node) / "claims").glob("*.json")):
            try:
                found.append(json.loads(path.read_text()))
            except (OSError, ValueError):
                continue  # it went while we looked
        return [record for record in found if record["kind"] == kind]

    def cdi(self, node: str = "node-1") -> dict[str, Json]:
        """CDI files by name."""
        folder = self.root(node) / "var/run/cdi"
        return {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}

    def channels(self, node: str = "node-1") -> set[str]:
        """Channel device nodes on the host."""
        return {path.name for path in (self.root(node) / "dev/nvidia-caps-imex-channels").glob("channel*")}

    def left(self) -> list[str]:
        """Files of claims and domains on any node."""
        plugin = f"*/var/lib/kubelet/plugins/{names.CD_DRIVER}"
        patterns = ("*/var/run/cdi/*", f"{plugin}/claims/*", f"{plugin}/domains/*")
        device_nodes = "*/dev/nvidia-caps-imex-channels/*"
        base = self.rack.root / "n"
        return sorted(str(p.relative_to(base)) for pattern in (*patterns, device_nodes) for p in base.glob(pattern))

    async def leftovers(self) -> list[str]:
        """Objects, labels and files that are there after everything was deleted; what is going is still there."""
        found = [f"{o['metadata']['name']} ({k.kind})" for k in (DOMAINS, ROSTERS, CLAIMS, CLAIM_TEMPLATES, NETWORK_POLICIES)
                 for o in await self.all(k)]  # fmt: skip
        found += [p["metadata"]["name"] for p in await self.all(PODS, OWN, names.DOMAIN_LABEL)]
        found += [f"label on {n['metadata']['name']}" for n in await self.all(NODES, labels=names.DOMAIN_LABEL)]
        found += [f"label on {n['metadata']['name']}" for n in await self.all(NODES, labels=names.CLIQUE_LABEL)]
        return [*found, *self.left()]

    async def clean(self, limit: float = LIMIT) -> None:
        """Wait until nothing is left."""

        async def nothing() -> bool:
            return not await self.leftovers()

        try:
            await self.until("nothing left", nothing, limit)
        except AssertionError as error:
            raise AssertionError(f"{error}\nleft: {await self.leftovers()}") from error

    async def published(self, nodes: int) -> None:
        """Wait for the devices of so many nodes."""

        async def there() -> bool:
            return len(await self.all(SLICES)) >= nodes

        await self.until(f"{nodes} ResourceSlices", there)

    def container(self, node: str, pod: str, name: str) -> Container:
        """The newest container of a pod whose name begins so, on that node."""
        found = self.rack.container(node, pod, name)
        assert found is not None, f"no container {name} of {pod} on {node}"
        return found

    def plugin(self, node: str = "node-1") -> Container:
        """The node's plugin."""
        return self.container(node, "nvidia-dra-driver", PLUGIN_CONTAINER)

    def daemon(self, node: str) -> Container:
        """The node's IMEX daemon."""
        return self.container(node, "", names.DAEMON_CONTAINER)

    async def seen(self) -> str:
        """What there is, for whoever reads a failed test."""
        lines = [_told(found) for kind in (DOMAINS, PODS, ROSTERS) for found in await self.all(kind)]
        told = sorted(await self.all(EVENTS), key=lambda e: e.get("lastTimestamp") or "")
        usual = ("Scheduled", "Pulled", "Created", "Started", "SuccessfulCreate")
        lines += [
            f"Event {e['involvedObject']['name']} {e['reason']}: {e['message']}"
            for e in told
            if e["reason"] not in usual
        ]
        return "\n".join(lines[-60:])


def _told(found: Json) -> str:
    meta, status = found["metadata"], found.get("status") or {}
    if found["kind"] == "Pod":
        words = [status.get("phase"), *(json.dumps(c["state"]) for c in status.get("containerStatuses") or ())]
        return f"Pod {meta['name']} on {found['spec'].get('nodeName')}: {words}"
    if found["kind"] == "ComputeDomain":
        words = [f"{c['type']}={c['status']} {c['message']}" for c in status.get("conditions") or ()]
        return f"ComputeDomain {meta['name']}: {status.get('status')} {status.get('nodesReady')} {words}"
    return f"{found['kind']} {meta['name']}: {json.dumps({k: v for k, v in found.items() if k != 'metadata'})}"
