"""Builders that tests share: a small cluster with our CRDs, and the hands that do in it what others do in a real one."""

import functools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from attrs import define, field

from nvdra.api import kinds, names
from nvdra.api.computedomain import ComputeDomain, Roster
from nvdra.api.kind import Kind
from nvdra.api.objects import Node, Pod
from nvdra.api.resources import ResourceClaimTemplate
from nvdra.errors import NotFound
from nvdra.sim.apiserver.inprocess import InProcess
from nvdra.sim.apiserver.store import ObjectStore
from tests.virtual_time import wall

Json = dict[str, Any]
NAMESPACES: Kind[dict] = Kind(dict, "Namespace", "namespaces", namespaced=False)
CRDS: Kind[dict] = Kind(
    dict, "CustomResourceDefinition", "customresourcedefinitions", group="apiextensions.k8s.io", namespaced=False
)
RAW_DAEMON_SETS: Kind[dict] = Kind(dict, "DaemonSet", "daemonsets", group="apps")
RAW_POLICIES: Kind[dict] = Kind(dict, "NetworkPolicy", "networkpolicies", group="networking.k8s.io")
RAW_TEMPLATES: Kind[dict] = Kind(dict, "ResourceClaimTemplate", "resourceclaimtemplates", group="resource.k8s.io")
RAW_CLAIMS: Kind[dict] = Kind(dict, "ResourceClaim", "resourceclaims", group="resource.k8s.io")
RAW_EVENTS: Kind[dict] = Kind(dict, "Event", "events")

OWN = names.DRIVER_NAMESPACE
CLIQUE = "11111111-2222-3333-4444-555555555555.1"
OTHER_CLIQUE = "11111111-2222-3333-4444-555555555555.2"
GUIDE = "imex-channel-injection"


@functools.cache
def definitions() -> tuple[Json, ...]:
    """The CRDs of the chart."""
    folder = Path(__file__).parents[1] / "chart" / "crds"
    return tuple(yaml.safe_load(file.read_text()) for file in sorted(folder.glob("*.yaml")))


@define(eq=False)
class Little:
    """A small cluster: an API server's store, and somebody who acts in it as users, plugins and kubelets do."""

    store: ObjectStore = field(factory=lambda: ObjectStore(clock=wall, random=random.Random(1)))
    hands: InProcess = field(init=False)
    stays: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.hands = InProcess(self.store, "hands")

    @classmethod
    async def started(cls) -> "Little":
        little = cls()
        for definition in definitions():
            await little.hands.create(CRDS, definition)
        await little.hands.create(NAMESPACES, {"metadata": {"name": OWN}})
        return little

    def client(self, agent: str) -> InProcess:
        return InProcess(self.store, agent)

    # Users.

    async def domain(
        self, name: str = GUIDE, nodes: int = 0, namespace: str = "default", template: str = ""
    ) -> ComputeDomain:
        spec = {"numNodes": nodes, "channel": {"resourceClaimTemplate": {"name": template or f"{name}-channel"}}}
        return await self.hands.create(
            kinds.COMPUTE_DOMAINS, {"metadata": {"name": name, "namespace": namespace}, "spec": spec}, namespace
        )

    async def seen(self, domain: ComputeDomain) -> ComputeDomain | None:
        """The domain as it is now."""
        try:
            now = await self.hands.get(kinds.COMPUTE_DOMAINS, domain.metadata.name, domain.metadata.namespace)
        except NotFound:
            return None
        return now if now.metadata.uid == domain.metadata.uid else None

    async def delete(self, domain: ComputeDomain) -> None:
        await self.hands.delete(kinds.COMPUTE_DOMAINS, domain.metadata.name, domain.metadata.namespace)

    async def tear_off(self, domain: ComputeDomain) -> None:
        """Somebody takes every finalizer off by force."""
        patch = {"metadata": {"finalizers": None}}
        await self.hands.patch(kinds.COMPUTE_DOMAINS, domain.metadata.name, patch, domain.metadata.namespace)

    # Nodes and what plugins and kubelets do on them.

    async def node(self, name: str, clique: str = CLIQUE, gfd: str | None = None) -> None:
        labels = {"kubernetes.io/hostname": name} | ({} if gfd is None else {names.GPU_CLIQUE_LABEL: gfd})
        await self.hands.create(kinds.NODES, {"metadata": {"name": name, "labels": labels}})
        attributes = {"type": {"string": "channel"}, "clique": {"string": clique or names.NO_FABRIC}}
        devices = [{"name": "channel-0", "attributes": attributes}]
        pool = {"name": name, "generation": 1, "resourceSliceCount": 1}
        spec = {"driver": names.CD_DRIVER, "nodeName": name, "pool": pool, "devices": devices}
        await self.hands.create(kinds.RESOURCE_SLICES, {"metadata": {"name": f"{name}-slice"}, "spec": spec})

    async def join(self, name: str, uid: str, clique: str = CLIQUE) -> None:
        """The plugin's labels: the domain, the clique beside it, and the claim that tells this stay from others."""
        self.stays += 1
        labels = {names.DOMAIN_LABEL: uid, names.CLIQUE_LABEL: clique or None, names.JOIN_LABEL: f"stay-{self.stays}"}
        await self.hands.patch(kinds.NODES, name, {"metadata": {"labels": labels}})

    async def leave(self, name: str) -> None:
        labels = {names.DOMAIN_LABEL: None, names.CLIQUE_LABEL: None, names.JOIN_LABEL: None}
        await self.hands.patch(kinds.NODES, name, {"metadata": {"labels": labels}})

    async def daemon(self, node: str, uid: str, *, ready: bool = True, ip: str = "") -> None:
        """A daemon pod, as the DaemonSet controller and the kubelet make it; or what has become of it."""
        name = f"daemon-{node}"
        spec = {"nodeName": node, "containers": [{"name": names.DAEMON_CONTAINER, "image": "nvdra"}]}
        try:
            await self.hands.get(kinds.PODS, name, OWN)
        except NotFound:
            meta = {"name": name, "labels": {names.DOMAIN_LABEL: uid}}
            await self.hands.create(kinds.PODS, {"metadata": meta, "spec": spec}, OWN)
        number = int("".join(c for c in node if c.isdigit()) or 0)
        address = ip or f"10.0.{number // 250}.{number % 250 + 1}"
        conditions = [{"type": "Ready", "status": str(ready)}]
        status = {"phase": "Running", "podIP": address, "conditions": conditions}
        await self.hands.patch(kinds.PODS, name, {"status": status}, OWN, subresource="status")

    async def note(self, node: str, text: str) -> None:
        """What the plugin of that node writes on its daemon's pod."""
        meta = {"annotations": {names.NOTE_ANNOTATION: text}}
        await self.hands.patch(kinds.PODS, f"daemon-{node}", {"metadata": meta}, OWN)

    async def no_daemon(self, node: str) -> None:
        await self.hands.delete(kinds.PODS, f"daemon-{node}", OWN, grace=0)

    async def up(self, nodes: Sequence[str], uid: str, clique: str = CLIQUE) -> None:
        """Nodes that join and whose daemons become ready."""
        for name in nodes:
            await self.join(name, uid, clique)
        for name in nodes if clique else ():
            await self.daemon(name, uid)

    # What is there.

    async def nodes(self) -> dict[str, Node]:
        return {node.metadata.name: node for node in (await self.hands.list(kinds.NODES)).items}

    async def labelled(self, uid: str) -> list[str]:
        found = await self.hands.list(kinds.NODES, labels=f"{names.DOMAIN_LABEL}={uid}")
        return sorted(node.metadata.name for node in found.items)

    async def rosters(self) -> dict[str, Roster]:
        return {roster.cliqueID: roster for roster in (await self.hands.list(kinds.ROSTERS, OWN)).items}

    async def templates(self, namespace: str = "") -> list[ResourceClaimTemplate]:
        return list((await self.hands.list(kinds.CLAIM_TEMPLATES, namespace)).items)

    async def daemon_sets(self) -> list[dict]:
        return list((await self.hands.list(RAW_DAEMON_SETS, OWN)).items)

    async def policies(self) -> list[dict]:
        return list((await self.hands.list(RAW_POLICIES, OWN)).items)

    async def pods(self) -> list[Pod]:
        return list((await self.hands.list(kinds.PODS, OWN)).items)

    async def events(self) -> list[dict]:
        return list((await self.hands.list(RAW_EVENTS)).items)

    async def left_of(self, uid: str) -> list[str]:
        """Everything that carries the domain's label, daemons' pods aside: the DaemonSet controller takes those."""
        label = f"{names.DOMAIN_LABEL}={uid}"
        left = []
        for kind in (kinds.NODES, kinds.DAEMON_SETS, kinds.NETWORK_POLICIES, kinds.CLAIM_TEMPLATES, kinds.ROSTERS):
            found = await self.hands.list(kind, labels=label)
            left += [f"{kind.kind} {thing.metadata.path}" for thing in found.items]
        return left


def indices(roster: Roster) -> dict[str, int]:
    """Who holds which index."""
    return {entry.nodeName: entry.index for entry in roster.daemons}
