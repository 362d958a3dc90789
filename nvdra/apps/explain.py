"""`nvdra explain`: reads what the caller may read, and says what a ComputeDomain is, why, and what to do next."""

import json
import time
from typing import Any

import click
import yaml
from attrs import asdict

from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import load
from nvdra.api import names
from nvdra.apps.commands import option, run
from nvdra.apps.explain_reading import Reading, version_of
from nvdra.apps.statecharts import interpreter
from nvdra.domains.compute_domain import facts as domain_facts
from nvdra.domains.compute_domain import snapshot as domain_snapshot
from nvdra.domains.imex_domain import facts as imex_facts
from nvdra.domains.imex_domain import snapshot as imex_snapshot
from nvdra.errors import ConfigError
from nvdra.explain.account import Account
from nvdra.explain.lives import Rules
from nvdra.explain.sight import Sight
from nvdra.explain.telling import Telling
from nvdra.explain.text import text_of
from nvdra.ports import Cluster

FORMS = ("text", "json", "yaml")


class _WithShortNames(click.Group):
    """`cd` is what kubectl calls a ComputeDomain for short."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, "computedomain" if cmd_name in ("cd", "computedomains") else cmd_name)


@click.group(cls=_WithShortNames)
def explain() -> None:
    """Say what an object is, why, what it waits for, and what to do next."""


@explain.command()
@click.argument("name", metavar="NAMESPACE/NAME")
@option("--kubeconfig", "KUBECONFIG", "", "Kubeconfig file; empty: ~/.kube/config, or the cluster that one is in.")
@option("--namespace", "NAMESPACE", names.DRIVER_NAMESPACE, "The driver's own namespace.")
@option("--resource-api-version", "RESOURCE_API_VERSION", "", "Version of resource.k8s.io; empty: the newest.")
@click.option("-o", "--output", "form", type=click.Choice(FORMS), default="text", show_default=True, help="Form.")
def computedomain(name: str, form: str, **options: Any) -> None:
    """Explain a ComputeDomain (short: cd), reading with the caller's rights. NAMESPACE/ may be left out."""

    async def work() -> None:
        access = load(options["kubeconfig"])
        client = KubeClient(access, "explain")
        try:
            version = await version_of(client, options["resource_api_version"])
            place = place_of(name, access.namespace)
            account = await account_of(client, place, options["namespace"], version)
        finally:
            await client.close()
        click.echo(shown(account, form), nl=False)

    run(work)


async def account_of(
    cluster: Cluster, place: tuple[str, str], namespace: str = names.DRIVER_NAMESPACE, version: str = "v1"
) -> Account:
    """The account of the ComputeDomain at (namespace, name). Raises ConfigError when there is none."""
    sight = await Reading(cluster, namespace, version).look(place, time.time())
    return told(sight)


def told(sight: Sight) -> Account:
    """The account of what was seen, by the statecharts that came with nvdra."""
    unread = frozenset(sight.unread)
    rules = {
        domain_snapshot.KIND: Rules(interpreter(domain_snapshot.KIND), domain_facts.FACTS, unread),
        imex_snapshot.KIND: Rules(interpreter(imex_snapshot.KIND), imex_facts.FACTS, unread),
    }
    return Telling(sight, rules).account()


def shown(account: Account, form: str) -> str:
    """In the wanted form."""
    if form == "json":
        return json.dumps(_plain(account), indent=2, ensure_ascii=False) + "\n"
    if form == "yaml":
        return yaml.safe_dump(_plain(account), sort_keys=False, allow_unicode=True, width=100)
    return text_of(account)


def _plain(account: Account) -> dict[str, Any]:
    """In the order of its fields, which is the order to read it in."""
    return asdict(account, value_serializer=lambda _, __, value: list(value) if isinstance(value, tuple) else value)


def place_of(text: str, default: str) -> tuple[str, str]:
    """`NAMESPACE/NAME`, or a name in the kubeconfig's namespace."""
    namespace, slash, name = text.rpartition("/")
    if not name or "/" in namespace or (slash and not namespace):
        raise ConfigError(f"{text!r} is not like NAMESPACE/NAME")
    return namespace or default, name
