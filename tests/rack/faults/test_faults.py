"""Every fault of the table, made on a rack: `kubectl describe` and `nvdra explain` name it, and the way out."""

import asyncio
import functools
import itertools
import time

import pytest

from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import load
from nvdra.apps.daemon_probe import RHYTHM
from nvdra.explain.faults import FAULTS
from nvdra.sim.instances import launcher
from nvdra.sim.kube.kinds import NODES, PODS
from nvdra.sim.rack import Rack, RackSettings
from nvdra.sim.topology import Topology
from tests import tools
from tests.naming import lacking
from tests.rack.conftest import PATIENT
from tests.rack.faults.cases import Case, described_by_kubectl
from tests.rack.faults.injections import INJECTIONS
from tests.rack.rig import STAYS, Rig, worker_spec

AT_ONCE = 6
"""So many faults side by side: all at once, a machine of two cores is too busy to be in time."""


def test_every_fault_has_its_injection():
    """The table and what is tried are the same."""
    assert {fault.name for fault in FAULTS} == set(INJECTIONS)


@pytest.fixture
async def rig():
    """One rack for all of them: a clique of two nodes at most, so that a third is one too many."""
    nodes = sum(injection.nodes for injection in INJECTIONS.values())
    settings = RackSettings(
        Topology(nodes=nodes, max_nodes=2), kubelet=PATIENT, launcher=functools.partial(launcher, rhythm=RHYTHM)
    )
    async with Rack(settings) as rack:
        rig = Rig(rack)
        await rig.published(nodes)
        yield rig


async def test_every_fault_is_named_within_ten_seconds(rig):
    """On every object where it shows, with what to do next; explain says the same, and so does the real kubectl."""
    names = iter(sorted(rig.rack.settings.topology.name(n) for n in range(rig.rack.settings.topology.nodes)))
    cases = {
        fault.name: Case(rig, fault, tuple(itertools.islice(names, INJECTIONS[fault.name].nodes))) for fault in FAULTS
    }
    client = KubeClient(load(str(rig.rack.kubeconfig)), "explain")
    faulty: list[str] = []
    alone = [case for name, case in cases.items() if INJECTIONS[name].everywhere]
    gate = asyncio.Semaphore(AT_ONCE)
    try:
        shared = [case for case in cases.values() if case not in alone]
        faulty += itertools.chain(*await asyncio.gather(*(tried(case, client, gate) for case in shared)))
        for case in alone:
            faulty += await tried(case, client, gate)
            rig.mend()
    finally:
        await client.close()
    assert faulty == []


async def test_a_taint_keeps_no_daemon_off(raised):
    """Daemons tolerate every taint: where a worker may run, its daemon does."""
    rig = await raised(1)
    taints = [{"key": "team", "value": "other", "effect": effect} for effect in ("NoSchedule", "NoExecute")]
    await rig.patch(NODES, "node-1", {"spec": {"taints": taints}}, namespace="")
    await rig.create_domain(wanted=1)
    spec = worker_spec({"resourceClaimTemplateName": "cd-channel"}, "node-1", STAYS)
    body = {"metadata": {"name": "a"}, "spec": {**spec, "tolerations": [{"key": "team", "operator": "Exists"}]}}
    await rig.rack.cluster.create(PODS, body, "default")
    await rig.running("a")


async def tried(case: Case, client: KubeClient, gate: asyncio.Semaphore) -> list[str]:
    """What of the case is not as it should be."""
    async with gate:
        began = time.monotonic()
        await INJECTIONS[case.fault.name].make(case)
        made = time.monotonic()
        try:
            await case.named()
        except AssertionError as error:
            return [str(error)]
        print(f"{case.fault.name:22} made in {made - began:4.1f} s, named after {time.monotonic() - made:4.1f} s")
        program = tools.kubectl()
        texts = {"nvdra explain": await case.explained(client)}
        if program is not None:
            texts["kubectl describe"] = await described_by_kubectl(program, case)
        return lacking(case.fault, texts)
