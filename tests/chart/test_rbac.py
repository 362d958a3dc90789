"""The roles allow what our processes ask, and no more: held against a rack on which everything really happened."""

import asyncio
import contextlib

import pytest
from attrs import evolve

from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import load
from nvdra.adapters.kube.election import Election
from nvdra.api import names
from nvdra.apps.installation import apply_crds, refuse_in_use, shipped_crds
from nvdra.errors import Refused
from nvdra.sim.apiserver.exchange import Exchange
from nvdra.sim.instances import launcher
from nvdra.sim.kube.kinds import PODS
from nvdra.sim.rack import Rack, RackSettings
from nvdra.sim.topology import Topology
from tests.chart.helm import rendered
from tests.chart.roles import Asked, rules
from tests.rack.rig import DOMAINS, Rig

pytestmark = pytest.mark.chart
STEM = "nvidia-dra-driver-k8s-dra-driver"
ACCOUNTS = {
    "nvdra-controller": f"{STEM}-service-account-controller",
    "nvdra-kubelet-plugin": f"{STEM}-service-account-kubeletplugin",
    "nvdra-imex-daemon": names.DAEMON_SERVICE_ACCOUNT,
    "nvdra-installation": f"{STEM}-crds",
    "nvdra-uninstallation": f"{STEM}-service-account-controller",
}


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> set[Asked]:
    """Everything that the API server answers to our processes, as its audit log would have it."""
    found: set[Asked] = set()
    count = Exchange.count

    def listen(self: Exchange, code: int) -> None:
        account = ACCOUNTS.get(self.agent.partition("/")[0])
        if account:
            route = self.route
            found.add(Asked(account, self.verb, route.group, route.resource, route.namespace, route.name))
        count(self, code)

    monkeypatch.setattr(Exchange, "count", listen)
    monkeypatch.setenv("PREPARE_HOLD", "0.4")
    monkeypatch.setenv("PROBE_INTERVAL", "0.3")
    return found


async def everyday(rig: Rig) -> None:
    """Elect, install the CRDs, let a domain of two nodes live and end, and ask before an uninstall."""
    async with contextlib.AsyncExitStack() as held:
        clients = {}
        for agent in ("controller", "installation", "uninstallation"):
            clients[agent] = KubeClient(load(str(rig.rack.kubeconfig)), agent)
            held.push_async_callback(clients[agent].close)
        await apply_crds(clients["installation"], shipped_crds())
        for _ in range(2):  # to create the Lease, and to take it over
            election = Election(clients["controller"], f"{STEM}-controller", names.DRIVER_NAMESPACE, "one")
            await election.lead(lambda: asyncio.sleep(0))
        await rig.create_domain(wanted=2)
        await rig.create_worker("w1", "node-1")
        await rig.said("w1", "not joined", "WaitingForComputeDomain")
        await rig.create_worker("w2", "node-2")
        await rig.running("w1", "w2")
        with pytest.raises(Refused, match="default/cd"):
            await refuse_in_use(clients["uninstallation"], "v1")
        await rig.delete(PODS, "w1")
        await rig.until("node-1 given back", lambda: _bare(rig))
        await rig.delete_all()
        await rig.clean()
        await refuse_in_use(clients["uninstallation"], "v1")


async def _bare(rig: Rig) -> bool:
    return not await rig.label("node-1")


@pytest.mark.rack
async def test_the_roles_are_what_is_needed(heard: set[Asked]):
    """Every request of a domain's whole life is allowed; every rule was used in it, or says when it is."""
    async with Rack(evolve(RackSettings(Topology(nodes=2)), launcher=launcher)) as rack:
        rig = Rig(rack)
        await rig.published(2)
        await everyday(rig)
    granted = rules(rendered())

    assert sorted(str(asked) for asked in heard if not any(rule.allows(asked) for rule in granted)) == []
    unused = [
        f"{rule.account}: {verb} {resource}"
        for rule in granted
        for resource in rule.resources
        for verb in rule.verbs
        if not rule.rarely
        and not any(evolve(rule, verbs=(verb,), resources=(resource,)).allows(asked) for asked in heard)
    ]
    assert unused == []
    assert DOMAINS.plural in {asked.resource for asked in heard}


def test_no_rule_is_wide():
    """Nobody has a wildcard, secrets, or more than one account; what is written outside of our group is named."""
    granted = rules(rendered())

    assert [r for r in granted if "*" in (*r.groups, *r.resources, *r.verbs)] == []
    assert {r.account for r in granted} == {f"{STEM}-crds", *ACCOUNTS.values()}
    writes = {
        (r.account.rpartition("-")[2], resource)
        for r in granted
        for resource in r.resources
        if r.namespace is None
        and set(r.verbs) & {"create", "update", "patch", "delete"}
        and r.groups != ("resource.nvidia.com",)
    }
    assert writes == {
        ("controller", "nodes"), ("controller", "resourceclaimtemplates"), ("controller", "events"),
        ("kubeletplugin", "resourceslices"), ("kubeletplugin", "nodes"), ("kubeletplugin", "pods"), ("kubeletplugin", "events"),
        ("crds", "customresourcedefinitions"),
    }  # fmt: skip
