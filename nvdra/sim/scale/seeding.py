"""ComputeDomains that a controller has provisioned already: made as it would have left them, object by object."""

import asyncio
from typing import Any

import msgspec
from attrs import frozen

from nvdra.api import names
from nvdra.api.computedomain import ComputeDomain
from nvdra.api.objects import DaemonSet
from nvdra.domains.compute_domain import manifests
from nvdra.domains.compute_domain.manifests import DaemonSettings
from nvdra.sim.scale.controller import ControllerProcess
from nvdra.sim.scale.place import DOMAINS_PATH, Place
from nvdra.sim.scale.wire import Ask

SETS_PATH = f"/apis/apps/v1/namespaces/{names.DRIVER_NAMESPACE}/daemonsets"
POLICIES_PATH = f"/apis/networking.k8s.io/v1/namespaces/{names.DRIVER_NAMESPACE}/networkpolicies"
TEMPLATES = "resourceclaimtemplates"
WANTED_NODES = 2
_AT_ONCE = 64


@frozen
class Seeded:
    """One of them."""

    name: str
    uid: str

    @property
    def path(self) -> str:
        """Of the ComputeDomain."""
        return f"{DOMAINS_PATH}/{self.name}"

    @property
    def set_path(self) -> str:
        """Of its DaemonSet."""
        return f"{SETS_PATH}/{names.daemonset_name(self.name, self.uid)}"


async def seed(place: Place, prefix: str, first: int, count: int) -> list[Seeded]:
    """`count` more, numbered from `first`. The status is the one that a controller gave to a sample."""
    status = await _sample(place, f"{prefix}-sample-{first}")
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> Seeded:
        async with slots:
            return await _provision(place, f"{prefix}-{number:05d}", status)

    return list(await asyncio.gather(*(one(number) for number in range(first, first + count))))


async def _sample(place: Place, name: str) -> dict[str, Any]:
    async with ControllerProcess(place) as controller:
        await controller.quiet(120)
        await place.create("computedomains", DOMAINS_PATH, _domain(name))
        await controller.quiet(60)
        made = await place.get("computedomains", f"{DOMAINS_PATH}/{name}")
        await place.delete("computedomains", f"{DOMAINS_PATH}/{name}")
        await controller.quiet(60)
    status: dict[str, Any] = made["status"]
    return status


def _domain(name: str) -> dict[str, Any]:
    spec = {"numNodes": WANTED_NODES, "channel": {"resourceClaimTemplate": {"name": f"{name}-channel"}}}
    version = f"{names.GROUP}/{names.VERSION}"
    return {"apiVersion": version, "kind": "ComputeDomain", "metadata": {"name": name}, "spec": spec}


async def _provision(place: Place, name: str, status: dict[str, Any]) -> Seeded:
    body = _domain(name)
    body["metadata"]["finalizers"] = [names.FINALIZER]
    created = await place.create("computedomains", DOMAINS_PATH, body)
    domain = msgspec.convert(created, ComputeDomain)
    settings = DaemonSettings()
    workload = manifests.workload_template(domain, settings.resource_version)
    daemon = manifests.daemon_template(domain, settings)
    base = "/apis/resource.k8s.io/v1/namespaces"
    await place.create(TEMPLATES, f"{base}/default/{TEMPLATES}", workload)
    await place.create(TEMPLATES, f"{base}/{names.DRIVER_NAMESPACE}/{TEMPLATES}", daemon)
    made = await place.create("daemonsets", SETS_PATH, manifests.daemonset(domain, settings))
    policy = manifests.network_policy(domain.metadata.uid, msgspec.convert(made, DaemonSet))
    await place.create("networkpolicies", POLICIES_PATH, policy)
    seeded = Seeded(name, domain.metadata.uid)
    await place.patch("computedomains/status", f"{seeded.path}/status", {"status": status})
    return seeded


async def listed_bytes(place: Place) -> int:
    """How much a controller reads at its start."""
    sizes = 0
    for path in (
        f"/apis/{names.GROUP}/{names.VERSION}/computedomains",
        SETS_PATH,
        POLICIES_PATH,
        f"/apis/resource.k8s.io/v1/{TEMPLATES}?labelSelector={names.DOMAIN_LABEL}",
    ):
        more = ""
        while True:
            query = f"{'&' if '?' in path else '?'}limit=500" + (f"&continue={more}" if more else "")
            body = await place.wire.send(Ask("nvdra-scale", "list", "all", f"{path}{query}"))
            sizes += len(body)
            more = msgspec.json.decode(body)["metadata"].get("continue", "")
            if not more:
                break
    return sizes
