"""What a new user does first: the nine lines with the real kubectl, the demo, and the figures of a join."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from nvdra.sim.join import join
from nvdra.sim.topology import Topology
from tests import tools

GUIDE = Path(__file__).parents[2] / "examples/imex-channel-injection.yaml"
DOMAIN_LABEL = "resource.nvidia.com/computeDomain"


@pytest.fixture(scope="session")
def kubectl_program():
    """The real kubectl."""
    found = tools.kubectl()
    if found is None:
        pytest.skip("no kubectl here, and none could be fetched; set NVDRA_KUBECTL")
    return found


@pytest.fixture
async def up(tmp_path):
    """`nvdra sim up --nodes 4 --cliques 2` in the background; the kubeconfig that it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nvdra", "sim", "up", "--nodes", "4", "--cliques", "2",
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    async with asyncio.timeout(30):
        while not (line := (await process.stdout.readline()).decode()).startswith("export KUBECONFIG="):
            assert line, "nvdra sim up has ended"
    yield line.strip().partition("=")[2]
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        await process.stdout.read()
        assert await process.wait() == 0


@pytest.mark.rack
async def test_the_nine_lines_print_what_the_guide_prints(up, kubectl_program, tmp_path):
    """From `kubectl apply` to `kubectl get nodes -l …` that finds none."""

    async def kubectl(*words):
        process = await asyncio.create_subprocess_exec(
            str(kubectl_program), f"--cache-dir={tmp_path}/cache", *words,
            env={"KUBECONFIG": up, "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 90)
        assert process.returncode == 0, f"kubectl {' '.join(words)}: {out.decode()}{err.decode()}"
        return out.decode() or err.decode()

    created = await kubectl("apply", "-f", str(GUIDE))
    assert created == (
        "computedomain.resource.nvidia.com/imex-channel-injection created\npod/imex-channel-injection created\n"
    )
    waited = await kubectl("wait", "--for=condition=Ready", "pod/imex-channel-injection", "--timeout=60s")
    assert waited == "pod/imex-channel-injection condition met\n"
    shown = (await kubectl("logs", "imex-channel-injection")).splitlines()
    assert [line.split()[-1] for line in shown if line.startswith("c")] == ["channel0"]
    assert any(line.startswith("crw-rw-rw-") for line in shown)
    head, row = (await kubectl("get", "computedomain")).splitlines()
    assert head.split()[:2] == ["NAME", "STATUS"]
    assert row.split()[:3] == ["imex-channel-injection", "Ready", "1/1"]
    described = await kubectl("describe", "computedomain", "imex-channel-injection")
    for words in ("Reason:                Formed", "Ready", "Provisioned", "ComputeDomainReady", "Events:"):
        assert words in described
    (daemon,) = (await kubectl("get", "pods", "-n", "nvidia-dra-driver-gpu", "-l", DOMAIN_LABEL)).splitlines()[1:]
    assert daemon.startswith("imex-channel-injection-")
    assert daemon.split()[1:3] == ["1/1", "Running"]
    deleted = await kubectl("delete", "-f", str(GUIDE))
    assert '"imex-channel-injection" deleted' in deleted
    assert "No resources found" in await kubectl("get", "nodes", "-l", DOMAIN_LABEL)


@pytest.mark.rack
async def test_the_demo_ends_well():
    """`nvdra sim demo --plain` exits 0 and marks nothing with ✗."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nvdra", "sim", "demo", "--plain",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, out.decode()[-3000:]
    assert "✗" not in out.decode()


@pytest.mark.parametrize(("nodes", "cliques"), [(18, 1), (12, 3)])
async def test_a_join_costs_few_writes_and_no_conflicts(nodes, cliques, monkeypatch):
    """At most N + 5 writes for one IMEX domain and 5 more for each further one, and nothing is refused with 409."""
    for name in ("PREPARE_HOLD", "PROBE_INTERVAL"):
        monkeypatch.delenv(name, raising=False)
    cost = await join(Topology(nodes, cliques), lambda _: None, 60)
    told = json.dumps(dict(cost.writes_by), indent=1)
    assert cost.conflicts == 0, told
    assert cost.writes <= nodes + 5 * cliques, told
    assert cost.touches <= nodes
