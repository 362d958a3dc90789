"""Every program a process of its own: killed without warning, and what then must not have happened."""

import json
import os
import signal

import pytest

from nvdra.sim.kube.kinds import PODS
from tests.rack.rig import OWN

pytestmark = pytest.mark.rack
QUICK = {"prepare_retry": (2, 3), "first_back_off": 0.2}
"""A kubelet that found no plugin tries again by itself only; the real one after 60 to 90 s."""


def _kill(rig, node="node-1"):
    """Kill -9 to the node's plugin, and wait until another serves."""
    return rig.restart_plugin(node, signal.SIGKILL)


def _pid(rig, node):
    found = list((rig.plugin_folder(node) / "domains").glob("*/status.json"))
    return json.loads(found[0].read_text()).get("pid") if found else None


async def test_a_plugin_killed_at_any_point_of_a_claims_life_comes_to_the_right_end(raised):
    """Kill -9 while it joins (record written, label not), waits, wakes (prepared, not fetched), holds, and leaves."""
    rig = await raised(2, processes=True, kubelet=QUICK)
    slow = rig.order("delay", verb="patch", resource="nodes", agent="nvdra-kubelet-plugin", seconds=30, count=1)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.until("the label is on its way", lambda: slow.hits)
    assert len(rig.records()) == 1
    assert await rig.label("node-1") == ""
    await _kill(rig)
    await rig.until("joined", lambda: rig.label("node-1"))
    await rig.until("node-1 is ready, and waits", lambda: _counts(rig, "1/2"))
    assert not rig.records()[0]["released"]
    await _kill(rig)
    await rig.rack.nodes["node-1"].kubelet.stop()
    await rig.create_worker("b", "node-2")
    await rig.until("released while nobody listens", lambda: rig.records()[0]["released"])
    await _kill_unsupervised(rig)
    await rig.rack.nodes["node-1"].kubelet.start()
    await rig.running("a", "b")
    assert "channel0" in await rig.log("a")
    worker = rig.container("node-1", "a", "worker")
    await _kill(rig)
    assert rig.container("node-1", "a", "worker") is worker
    slow = rig.order("delay", verb="patch", resource="nodes", agent="nvdra-kubelet-plugin", seconds=30, count=1)
    await rig.delete(PODS, "a")
    await rig.until("the label is on its way off", lambda: slow.hits)
    assert rig.records()[0]["leaving"]
    await _kill(rig)
    await rig.delete_all()
    await rig.clean()


async def test_running_imex_processes_survive_everything_around_them(raised):
    """Same nvidia-imex pid through an absent API server, a killed controller, killed plugins and a peer's new address."""
    rig = await raised(2, processes=True, kubelet=QUICK)
    await rig.create_domain(wanted=2)
    await rig.create_worker("a", "node-1")
    await rig.create_worker("b", "node-2")
    await rig.running("a", "b")
    pid = _pid(rig, "node-1")
    assert pid
    os.kill(pid, 0)
    rig.silent()
    await rig.stays("the same nvidia-imex", lambda: _same(rig, pid), 2.0)
    rig.mend()
    controller = rig.container("control-plane-1", "nvidia-dra-driver", "compute-domain")
    controller.signal(signal.SIGKILL)
    await controller.over.wait()
    await _kill(rig, "node-1")
    await _kill(rig, "node-2")
    indices, old = await rig.indices(), (await rig.daemons("node-2"))[0]
    await rig.delete(PODS, old["metadata"]["name"], namespace=OWN)
    hosts = rig.daemon("node-1").rootfs / "etc/hosts"
    await rig.until("node-1 knows the new address", lambda: old["status"]["podIP"] not in hosts.read_text())
    await rig.until("all are ready", lambda: _counts(rig, "2/2"))
    assert await rig.indices() == indices
    assert _pid(rig, "node-1") == pid
    os.kill(pid, 0)
    os.kill(pid, signal.SIGKILL)
    await rig.until("another nvidia-imex after that one was killed", lambda: _pid(rig, "node-1") not in (pid, None))
    assert await rig.runs("a", "b")()
    await rig.delete_all()
    await rig.clean()


async def _same(rig, pid):
    os.kill(pid, 0)
    return _pid(rig, "node-1") == pid


async def _counts(rig, text):
    return (await rig.domain())["status"].get("nodesReady") == text


async def _kill_unsupervised(rig):
    """While the kubelet is away nobody starts it again."""
    plugin = rig.plugin()
    plugin.signal(signal.SIGKILL)
    await plugin.over.wait()
