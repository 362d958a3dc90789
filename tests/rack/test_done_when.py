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

GUIDE = Path(__file__).parents[2] / "examples/imex-channel-injection.yaml"
DOMAIN_LABEL = "resource.nvidia.com/computeDomain"


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
async def test_the_nine_lines_print_what_the_guide_prints(up, kubectl, tmp_path):
    """From `kubectl apply` to `kubectl get nodes -l …` that finds none."""

    async def typed(*words):
        process = await asyncio.create_subprocess_exec(
            str(kubectl), f"--cache-dir={tmp_path}/cache", *words,
            env={"KUBECONFIG": up, "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 90)
        assert process.returncode == 0, f"kubectl {' '.join(words)}: {out.decode()}{err.decode()}"
        return out.decode() or err.decode()

    created = await typed("apply", "-f", str(GUIDE))
    assert created == (
        "computedomain.resource.nvidia.com/imex-channel-injection created\npod/imex-channel-injection created\n"
    )
    waited = await typed("wait", "--for=condition=Ready", "pod/imex-channel-injection", "--timeout=60s")
    assert waited == "pod/imex-channel-injection condition met\n"
    shown = (await typed("logs", "imex-channel-injection")).splitlines()
    assert [line.split()[-1] for line in shown if line.startswith("c")] == ["channel0"]
    assert any(line.startswith("crw-rw-rw-") for line in shown)
    head, row = (await typed("get", "computedomain")).splitlines()
    assert head.split()[:2] == ["NAME", "STATUS"]
    assert row.split()[:3] == ["imex-channel-injection", "Ready", "1/1"]
    described = await typed("describe", "computedomain", "imex-channel-injection")
    for words in ("Reason:                Formed", "Ready", "Provisioned", "ComputeDomainReady", "Events:"):
        assert words in described
    (daemon,) = (await typed("get", "pods", "-n", "nvidia-dra-driver-gpu", "-l", DOMAIN_LABEL)).splitlines()[1:]
    assert daemon.startswith("imex-channel-injection-")
    assert daemon.split()[1:3] == ["1/1", "Running"]
    deleted = await typed("delete", "-f", str(GUIDE))
    assert '"imex-channel-injection" deleted' in deleted
    assert "No resources found" in await typed("get", "nodes", "-l", DOMAIN_LABEL)


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


async def test_a_join_of_several_cliques_costs_few_writes_and_no_conflicts(monkeypatch):
    """At most N + 5 writes for the first IMEX domain and 5 more for each further one, and nothing is refused with 409."""
    for name in ("PREPARE_HOLD", "PROBE_INTERVAL"):
        monkeypatch.delenv(name, raising=False)
    cost = await join(Topology(12, 3), lambda _: None, 60)
    told = json.dumps(dict(cost.writes_by), indent=1)
    assert cost.conflicts == 0, told
    assert cost.writes <= 12 + 5 * 3, told
    assert cost.touches <= 12


@pytest.mark.rack
async def test_eighteen_nodes_join_with_few_writes_and_no_conflicts(monkeypatch):
    """`nvdra sim join --nodes 18 --json` (the Go driver: 272 writes with 196 conflicts): at most N + 5, and none."""
    for name in ("PREPARE_HOLD", "PROBE_INTERVAL"):
        monkeypatch.delenv(name, raising=False)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "nvdra",
        "sim",
        "join",
        "--nodes",
        "18",
        "--cliques",
        "1",
        "--json",
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0
    cost = json.loads(out)
    assert (cost["nodes"], cost["cliques"], cost["conflicts"]) == (18, 1, 0), out.decode()
    assert cost["writes"] <= 18 + 5, out.decode()
    assert cost["touches"] <= 18
