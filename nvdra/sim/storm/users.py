"""What users, administrators and bad luck do by themselves: each a line of text, so that a script can say it again."""

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from attrs import define, field

from nvdra.api import names
from nvdra.api.kind import Kind
from nvdra.api.kinds import CLAIM_TEMPLATES, COMPUTE_DOMAINS, DAEMON_SETS, NETWORK_POLICIES, PODS
from nvdra.errors import NvdraError
from nvdra.sim.kube import kinds
from nvdra.sim.kube.shapes import Json, name, namespace
from nvdra.sim.storm.foreign import STRANGER
from nvdra.sim.storm.pods import RUNS_FOR
from nvdra.sim.storm.world import World

_DOMAINS: Final[Kind[dict[str, Any]]] = Kind(
    dict, "ComputeDomain", "computedomains", version=names.VERSION, group=names.GROUP
)
SPACE: Final = "default"
Act = Callable[..., Coroutine[Any, Any, None]]


@define(eq=False)
class Users:
    """Hands in the world."""

    world: World
    acts: dict[str, Act] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.acts = {
            "team": self.team,
            "domain": self.domain,
            "undomain": self.undomain,
            "worker": self.worker,
            "unworker": self.unworker,
            "force-pod": self.force_pod,
            "tear-off": self.tear_off,
            "smash": self.smash,
            "strip": self.strip,
            "stranger": self.stranger,
            "unstranger": self.unstranger,
            "foreign": self.foreign,
            "unforeign": self.unforeign,
        }

    async def do(self, line: str) -> None:
        """Do what a line says; between the look and the act things may have changed."""
        verb, *words = line.split()
        before, self.world.writer = self.world.writer, "user"
        try:
            with contextlib.suppress(NvdraError):
                await self.acts[verb](*words)
        finally:
            self.world.writer = before

    async def domain(self, called: str, nodes: str) -> None:
        """Create a ComputeDomain."""
        spec = {"numNodes": int(nodes), "channel": {"resourceClaimTemplate": {"name": f"{called}-channel"}}}
        body = {"metadata": {"name": called, "namespace": SPACE}, "spec": spec}
        await self.world.user.create(_DOMAINS, body, SPACE)

    async def team(self, called: str, nodes: str) -> None:
        """A ComputeDomain of so many nodes, and a worker on each of them."""
        await self.domain(called, nodes)
        for node in sorted(self.world.nodes)[: int(nodes)]:
            with contextlib.suppress(NvdraError):
                await self.worker(called, node)

    async def undomain(self, called: str) -> None:
        """Delete it."""
        await self.world.user.delete(_DOMAINS, called, SPACE)

    async def worker(self, called: str, node: str, seconds: str = "") -> None:
        """A worker of a domain on a node; with seconds, one that ends by itself."""
        meta: Json = {"name": f"{called}-{node}", "namespace": SPACE}
        if seconds:
            meta["annotations"] = {RUNS_FOR: seconds}
        container: Json = {"name": "worker", "image": "worker", "resources": {"claims": [{"name": "channel"}]}}
        spec: Json = {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "containers": [container],
            "resourceClaims": [{"name": "channel", "resourceClaimTemplateName": f"{called}-channel"}],
            "restartPolicy": "Never" if seconds else "Always",
        }
        await self.world.user.create(kinds.PODS, {"metadata": meta, "spec": spec}, SPACE)

    async def unworker(self, called: str, node: str) -> None:
        """Delete a worker."""
        await self.world.user.delete(kinds.PODS, f"{called}-{node}", SPACE)

    async def force_pod(self, node: str, which: str) -> None:
        """Kubectl delete pod --force, of a worker or a daemon on a node."""
        for pod in self.world.view.all(PODS):
            daemon = namespace(pod) == names.DRIVER_NAMESPACE
            if pod["spec"].get("nodeName") == node and daemon == (which == "daemon"):
                await self.world.user.delete(kinds.PODS, name(pod), namespace(pod), grace=0)

    async def tear_off(self, called: str) -> None:
        """Take all finalizers off a ComputeDomain by force."""
        found = self.world.view.find(COMPUTE_DOMAINS, called, SPACE)
        if found is not None:
            self.world.forced.add(found["metadata"]["uid"])
            await self.world.user.patch(_DOMAINS, called, {"metadata": {"finalizers": None}}, SPACE)

    async def smash(self, called: str, what: str) -> None:
        """Delete things of ours by hand."""
        found = self.world.view.find(COMPUTE_DOMAINS, called, SPACE)
        known: dict[str, Kind[Any]] = {"daemonset": DAEMON_SETS, "policy": NETWORK_POLICIES}
        kind = known.get(what, CLAIM_TEMPLATES)
        for body in self.world.view.all(kind) if found is not None else ():
            labels = body["metadata"].get("labels") or {}
            if found is not None and labels.get(names.DOMAIN_LABEL) == found["metadata"]["uid"]:
                await self.world.user.delete(kind, name(body), namespace(body))

    async def strip(self, node: str) -> None:
        """Take the domain's labels off a node by hand."""
        await self._label(node, dict.fromkeys((names.DOMAIN_LABEL, names.CLIQUE_LABEL, names.JOIN_LABEL)))

    async def stranger(self, node: str) -> None:
        """Somebody labels a free node for a domain that nobody knows."""
        if names.DOMAIN_LABEL not in dict(self.world.view.labels()).get(node, {}):
            await self._label(node, {names.DOMAIN_LABEL: STRANGER})

    async def unstranger(self, node: str) -> None:
        """And takes that off again."""
        if dict(self.world.view.labels()).get(node, {}).get(names.DOMAIN_LABEL) == STRANGER:
            await self._label(node, {names.DOMAIN_LABEL: None})

    async def _label(self, node: str, labels: dict[str, str | None]) -> None:
        await self.world.user.patch(kinds.NODES, node, {"metadata": {"labels": labels}})

    async def foreign(self, called: str) -> None:
        """A claim template of the name that a domain will want."""
        request = {"name": "channel", "exactly": {"deviceClassName": names.CHANNEL_CLASS}}
        body: Json = {"metadata": {"name": f"{called}-channel", "namespace": SPACE}}
        body["spec"] = {"spec": {"devices": {"requests": [request]}}}
        await self.world.user.create(kinds.CLAIM_TEMPLATES, body, SPACE)

    async def unforeign(self, called: str) -> None:
        """And its end."""
        found = self.world.view.find(CLAIM_TEMPLATES, f"{called}-channel", SPACE)
        if found is not None and names.DOMAIN_LABEL not in (found["metadata"].get("labels") or {}):
            await self.world.user.delete(kinds.CLAIM_TEMPLATES, f"{called}-channel", SPACE)
