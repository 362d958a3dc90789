"""A rack under test: what its users do, and what happens to it."""

import asyncio
import inspect
import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define

from nvdra.api import names
from nvdra.api.kind import Kind
from nvdra.sim.apiserver.faults import Rule
from nvdra.sim.kube.kinds import CLAIMS, JOBS, PODS
from tests.rack.sights import DOMAINS, LIMIT, OWN, ROSTERS, Json, Sights

__all__ = ["DOMAINS", "LEASES", "LIMIT", "OWN", "ROSTERS", "Json", "Rig"]
LEASES = Kind(dict, "Lease", "leases", group="coordination.k8s.io")
STAYS = "ls -la /dev/nvidia-caps-imex-channels; trap 'exit 0' TERM; sleep 9999 & wait"


@define(eq=False, repr=False)
class Rig(Sights):
    """One rack, its users, and its mishaps."""

    # What users do.

    async def create_domain(self, name: str = "cd", wanted: int | None = 0, **more: Any) -> str:
        """Make a ComputeDomain; its uid. `mode`: All for all channels."""
        channel = {"resourceClaimTemplate": {"name": more.get("template", f"{name}-channel")}}
        if "mode" in more:
            channel["allocationMode"] = more["mode"]
        spec: Json = {"channel": channel, **({} if wanted is None else {"numNodes": wanted})}
        body = {"apiVersion": DOMAINS.api_version, "kind": "ComputeDomain", "metadata": {"name": name}, "spec": spec}
        made: Json = await self.rack.cluster.create(DOMAINS, body, more.get("namespace", "default"))
        return str(made["metadata"]["uid"])

    async def create_worker(self, name: str, node: str = "", domain: str = "cd", **more: Any) -> Json:
        """Make a pod that uses the domain's template, or `claim` by name; `script` is what its container plays."""
        claim = (
            {"resourceClaimName": more["claim"]}
            if "claim" in more
            else {"resourceClaimTemplateName": f"{domain}-channel"}
        )
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "worker"}},
            "spec": worker_spec(claim, node, more.get("script", STAYS)),
        }
        made: Json = await self.rack.cluster.create(PODS, body, more.get("namespace", "default"))
        return made

    async def create_job(self, name: str, node: str, script: str, domain: str = "cd") -> None:
        """Make a Job whose pod uses the domain and plays the script."""
        spec = worker_spec({"resourceClaimTemplateName": f"{domain}-channel"}, node, script)
        body = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {
                "template": {"metadata": {"labels": {"app": "worker"}}, "spec": {**spec, "restartPolicy": "Never"}}
            },
        }
        await self.rack.cluster.create(JOBS, body, "default")

    async def create_claim(
        self, name: str, parameters: Json, device: str = "channel", namespace: str = "default"
    ) -> Json:
        """A ResourceClaim written by hand."""
        device_class = names.CHANNEL_CLASS if device == "channel" else names.DAEMON_CLASS
        config = {"requests": ["r"], "opaque": {"driver": names.CD_DRIVER, "parameters": parameters}}
        body = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name},
            "spec": {
                "devices": {
                    "requests": [{"name": "r", "exactly": {"deviceClassName": device_class}}],
                    "config": [config],
                }
            },
        }
        made: Json = await self.rack.cluster.create(CLAIMS, body, namespace)
        return made

    async def delete(self, kind: Any, *objects: str, namespace: str = "default") -> None:
        """Delete by name."""
        for name in objects:
            await self.rack.cluster.delete(kind, name, namespace)

    async def delete_all(self) -> None:
        """Every workload and every ComputeDomain."""
        for kind in (JOBS, PODS, CLAIMS):
            for there in await self.all(kind, "default"):
                await self.delete(kind, there["metadata"]["name"])
        for there in await self.all(DOMAINS):
            await self.delete(DOMAINS, there["metadata"]["name"], namespace=there["metadata"]["namespace"])

    async def patch(self, kind: Any, name: str, patch: Json, namespace: str = "default") -> None:
        """Merge something into an object."""
        await self.rack.cluster.patch(kind, name, patch, namespace)

    # Mishaps.

    def imex(self, node: str, **control: Any) -> None:
        """Failures for the node's nvidia-imex to act out; none: it is well again."""
        path = self.root(node) / "imex-control.json"
        aside = path.with_suffix(".new")
        aside.write_text(json.dumps(control))
        aside.rename(path)

    def order(self, sort: Any, **rule: Any) -> Rule:
        """A fault of the API server."""
        return self.rack.api.faults.order(Rule(sort, **rule))

    def mend(self) -> None:
        """No faults any more."""
        self.rack.api.faults.cancel()

    def silent(self, agent: str = "nvdra-") -> Rule:
        """The API server answers the driver no more, and its watches break."""
        rule = self.order("lose-before", agent=agent)
        for watcher in self.rack.api.store.hub.everybody():
            watcher.close()
        return rule

    async def restart_plugin(
        self, node: str = "node-1", number: int = signal.SIGKILL, meanwhile: Callable[[], Any] | None = None
    ) -> None:
        """End it, do something while it is away, and have the kubelet start it again."""
        old = self.plugin(node)
        old.signal(number)
        await old.over.wait()
        if meanwhile is not None:
            done = meanwhile()
            await done if inspect.isawaitable(done) else None
        await self.until("the plugin again", lambda: self.plugin(node) is not old)
        await self.until("its socket", lambda: _listens(self.plugin_folder(node) / "dra.sock"))


async def _listens(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def worker_spec(claim: Mapping[str, str], node: str, script: str) -> Json:
    """A pod with one container that holds the claim."""
    container = {
        "name": "worker",
        "image": "ubuntu:22.04",
        "command": ["sh", "-c", script],
        "resources": {"claims": [{"name": "channel"}]},
    }
    place = {"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}
    return {
        **place,
        "terminationGracePeriodSeconds": 3,
        "containers": [container],
        "resourceClaims": [{"name": "channel", **claim}],
    }
