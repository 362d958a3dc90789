"""Racks for tests: all of the driver inside this process, unless a test asks for processes."""

import contextlib

import pytest
from attrs import evolve

from nvdra.sim.instances import launcher
from nvdra.sim.kube.kubelet.settings import Settings
from nvdra.sim.rack import Rack, RackSettings
from nvdra.sim.topology import Topology
from tests import tools
from tests.rack.rig import Rig

PATIENT = Settings(first_back_off=0.5, unprepare_retry=(1, 1))
"""A real kubelet's patience, but for what would make tests slow: back-off of containers, retries of releases."""


@pytest.fixture(scope="session")
def kubectl():
    """Where the real kubectl is."""
    found = tools.kubectl()
    if found is None:
        pytest.skip("no kubectl here, and none could be fetched; set NVDRA_KUBECTL")
    return found


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    """Plugins hold calls shortly, so that tests see the answer and not the hold; hardware is looked at often."""
    monkeypatch.setenv("PREPARE_HOLD", "0.4")
    monkeypatch.setenv("SWEEP_SURE", "0.5")
    monkeypatch.setenv("PROBE_INTERVAL", "0.3")


@pytest.fixture
async def raised():
    """A maker of racks: await it with a number of nodes. With `processes` every program is a process of its own."""
    async with contextlib.AsyncExitStack() as held:

        async def build(nodes=2, *, processes=False, kubelet=None, install_driver=True, **topology):
            settings = RackSettings(
                Topology(nodes=nodes, **topology),
                kubelet=evolve(PATIENT, **(kubelet or {})),
                install_driver=install_driver,
            )
            if not processes:
                settings = evolve(settings, launcher=launcher)
            rack = await held.enter_async_context(Rack(settings))
            rig = Rig(rack)
            if install_driver:
                await rig.published(nodes + topology.get("without_fabric", 0))
            return rig

        yield build
