"""What the Helm chart's hooks run: CRDs brought up to date before a release, and a look round before its end."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click
import yaml

import nvdra
from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import load
from nvdra.api import kinds, names
from nvdra.api.computedomain import ComputeDomain
from nvdra.api.kind import Kind
from nvdra.api.resources import ResourceClaim
from nvdra.apps.commands import option, run
from nvdra.errors import Again, AlreadyExists, ConfigError, Conflict, NotFound, Refused
from nvdra.ports import Cluster, Json

CRDS: Final[Kind[Json]] = Kind(
    dict, "CustomResourceDefinition", "customresourcedefinitions", group="apiextensions.k8s.io", namespaced=False
)
ESTABLISHING: Final = 30.0
ATTEMPTS: Final = 5
LOOK_EVERY: Final = 0.3
MOST_NAMED: Final = 20

kubeconfig = option("--kubeconfig", "KUBECONFIG", "", "Kubeconfig file; empty: in the cluster.")


@click.command("install-crds")
@kubeconfig
def install_crds(**options: Any) -> None:
    """Create the CRDs, or bring them to this version, whoever made them; wait until they are served."""

    async def work() -> None:
        client = KubeClient(load(options["kubeconfig"]), "installation")
        try:
            for name in await apply_crds(client, shipped_crds()):
                click.echo(f"{name}: as of nvdra {nvdra.__version__}")
        finally:
            await client.close()

    run(work)


@click.command("uninstall-check")
@kubeconfig
@option("--resource-api-version", "RESOURCE_API_VERSION", "", "Version of resource.k8s.io; empty: the newest.")
def uninstall_check(**options: Any) -> None:
    """Refuse, with their names, while ComputeDomains or claims of ours exist."""

    async def work() -> None:
        client = KubeClient(load(options["kubeconfig"]), "installation")
        try:
            version = await client.resource_version_of_api(options["resource_api_version"])
            await refuse_in_use(client, version)
        finally:
            await client.close()

    run(work)
    click.echo("no ComputeDomain and no prepared claim: nvdra may go")


def shipped_crds() -> Sequence[Json]:
    """The CRDs that came in the wheel, or those of a checkout."""
    package = Path(nvdra.__file__).parent
    installed = package / "_crds"
    folder = installed if installed.is_dir() else package.parent / "chart" / "crds"
    found = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.yaml"))]
    if not found:
        raise ConfigError(f"no CRDs in {folder}: this nvdra was not installed from its wheel, nor is it a checkout")
    return found


async def apply_crds(cluster: Cluster, crds: Iterable[Json]) -> Sequence[str]:
    """Make them exactly so, whether they are absent, the Go driver's, or of an older release; then wait."""
    applied = []
    for crd in crds:
        await _become(cluster, crd)
        applied.append(str(crd["metadata"]["name"]))
    await _all_served(cluster, applied)
    return applied


async def _become(cluster: Cluster, crd: Json) -> None:
    """A replacement, not an apply: an apply leaves what another manager owns, and it all has to be ours."""
    for _ in range(ATTEMPTS):
        with suppress(AlreadyExists, Conflict):
            try:
                there = await cluster.get(CRDS, crd["metadata"]["name"])
            except NotFound:
                await cluster.create(CRDS, crd)
            else:
                await cluster.replace(CRDS, crd["metadata"]["name"], {**crd, "metadata": there["metadata"]})
            return
    raise Again(f"CRD {crd['metadata']['name']}: others keep writing to it")


async def _all_served(cluster: Cluster, applied: Sequence[str]) -> None:
    clock = asyncio.get_running_loop().time
    end = clock() + ESTABLISHING
    while late := [name for name in applied if not _established(await cluster.get(CRDS, name))]:
        if clock() > end:
            raise Again(f"not served after {ESTABLISHING:g} s: {', '.join(late)}; kubectl describe crd says why")
        await asyncio.sleep(LOOK_EVERY)


async def refuse_in_use(cluster: Cluster, version: str) -> None:
    """Refused with the names of what would be broken if the driver went now."""
    try:
        domains = (await cluster.list(kinds.COMPUTE_DOMAINS)).items
    except NotFound:  # no such CRD: somebody was here before us
        domains = ()
    claims = [c for c in (await cluster.list(kinds.RESOURCE_CLAIMS.at(version))).items if _held(c)]
    if not domains and not claims:
        return
    raise Refused(
        "\n".join(
            [
                "not uninstalled: it is in use, and nothing could take it back afterwards (finalizers, labels, claims)",
                *_named("ComputeDomain", "ComputeDomains", [_domain(d) for d in domains]),
                *_named("prepared claim", "prepared claims", [_claim(c) for c in claims]),
                "delete the workloads and their ComputeDomains first (kubectl delete computedomain -n NAMESPACE NAME);",
                "to uninstall all the same, and end what uses them: helm uninstall --no-hooks",
            ]
        )
    )


def _held(claim: ResourceClaim) -> bool:
    allocation = claim.status.allocation
    ours = any(result.driver == names.CD_DRIVER for result in allocation.devices.results) if allocation else False
    return ours and bool(claim.status.reservedFor)


def _domain(domain: ComputeDomain) -> str:
    return f"{domain.metadata.path} ({domain.status.status}, nodes ready {domain.status.nodesReady or '0/0'})"


def _claim(claim: ResourceClaim) -> str:
    return f"{claim.metadata.path} (for {', '.join(user.name for user in claim.status.reservedFor)})"


def _named(one: str, many: str, things: Sequence[str]) -> Iterable[str]:
    if not things:
        return
    yield f"{len(things)} {one if len(things) == 1 else many}:"
    for thing in sorted(things)[:MOST_NAMED]:
        yield f"  {thing}"
    if len(things) > MOST_NAMED:
        yield f"  and {len(things) - MOST_NAMED} more"


def _established(crd: Json) -> bool:
    conditions = crd.get("status", {}).get("conditions", [])
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)
