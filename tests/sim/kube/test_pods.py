"""Pods on one node: started, ended, probed, restarted, removed."""

import re

import pytest
from attrs import evolve

from nvdra.api import names
from nvdra.domains.compute_domain.manifests import AWAIT_DOOR
from nvdra.sim.kube import kinds


@pytest.fixture
async def one(rack):
    await rack.start({"node-a": ""})
    return rack


async def test_a_pod_runs_and_ends_as_its_trap_says(one):
    """A pod gets a loopback address, runs, and on deletion its TERM trap runs before it is gone."""
    await one.pod(
        "p",
        script="echo hello $WHO; trap 'echo bye; exit 0' TERM; sleep 9999 & wait",
        container={"env": [{"name": "WHO", "value": "you"}]},
    )
    pod = await one.running("p")
    assert re.fullmatch(r"127\.[1-9]\d*\.\d+\.\d+", pod["status"]["podIP"])
    await one.until(lambda: _ready(one, "p"))
    assert await one.log("p") == "hello you\n"
    reasons = [reason for reason, _ in await one.events("p")]
    assert reasons == ["Scheduled", "Pulled", "Created", "Started"]
    await one.cluster.delete(kinds.PODS, "p", "default")
    await one.gone(kinds.PODS, "p")
    assert ("Killing", "Stopping container ctr") in await one.events("p")


async def test_exit_codes_decide_the_phase(one):
    """A pod that is not restarted succeeds with exit code 0 and fails with any other, with its last words."""
    for name, script in (("good", "true; exit 0"), ("bad", "exit 3")):
        await one.pod(name, script=script, spec={"restartPolicy": "Never"})
    assert (await one.ended("good"))["status"]["phase"] == "Succeeded"
    bad = await one.ended("bad")
    assert bad["status"]["phase"] == "Failed"
    assert bad["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


async def test_a_crashing_container_is_restarted_ever_later(one):
    """Restarts are counted, the wait between them is said, and the log of the run before can be read."""
    await one.pod("p", script="echo run; exit 1")

    async def restarted():
        statuses = ((await one.get(kinds.PODS, "p")).get("status") or {}).get("containerStatuses")
        return statuses and statuses[0]["restartCount"] >= 2

    await one.until(restarted)
    assert await one.log("p", previous=True) == "run\n"
    await one.told("p", "BackOff", "Back-off restarting failed container ctr")
    pod = await one.get(kinds.PODS, "p")
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1


async def test_an_interpreted_command_is_never_run_for_real(one, root):
    """A command that is not played is named in the log and the container stays up."""
    mark = root / "mark"
    await one.pod("p", script=f"touch {mark}")
    await one.running("p")
    assert "nvdra sim runs no images: command" in await one.log("p")
    assert not mark.exists()


async def test_a_missing_image_is_said_and_nothing_starts(rack):
    """An image that the rack calls missing ends in ErrImagePull and ImagePullBackOff."""
    rack.settings = evolve(rack.settings, missing_images=frozenset({"gone:1"}))
    await rack.start({"node-a": ""})
    await rack.pod("p", container={"image": "gone:1"})
    await rack.told("p", "Failed", "Failed to pull image")
    await rack.told("p", "BackOff", "Back-off pulling image")
    assert await rack.phase("p") == "Pending"


async def test_driver_programs_get_the_downward_api_and_real_probes(one):
    """`nvdra …` goes to the launcher; its HTTP probe really reaches it; a failing one gets it restarted."""
    env = [
        {"name": n, "valueFrom": {"fieldRef": {"fieldPath": p}}}
        for n, p in (("POD_IP", "status.podIP"), ("NODE_NAME", "spec.nodeName"), ("POD_UID", "metadata.uid"))
    ]
    http = {"httpGet": {"port": 8080, "path": "/readyz"}, "periodSeconds": 0.1}
    container = {
        "command": ["nvdra", "imex-daemon", "$(VERB)"],
        "args": [],
        "env": [*env, {"name": "VERB", "value": "run"}],
    }
    probes = {
        "readinessProbe": http,
        "livenessProbe": {**http, "failureThreshold": 2},
        "startupProbe": {"exec": {"command": ["nvdra", "imex-daemon", "check"]}, "periodSeconds": 0.1},
    }
    await one.pod("p", container=container | probes)

    async def ready():
        pod = await one.get(kinds.PODS, "p")
        statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
        return statuses[0].get("ready")

    await one.until(ready)
    pod = await one.get(kinds.PODS, "p")
    daemon = next(i for i in one.launcher.instances if "run" in i.argv)
    assert daemon.argv == ("nvdra", "imex-daemon", "run")
    assert daemon.env["POD_IP"] == pod["status"]["podIP"]
    assert (daemon.env["NODE_NAME"], daemon.env["POD_UID"]) == ("node-a", pod["metadata"]["uid"])
    assert f"{pod['status']['podIP']}\tp\n" in (daemon.rootfs / "etc/hosts").read_text()
    (daemon.rootfs / "dev/termination-log").write_text("port 50000 in use")
    daemon.status = 503
    await one.told("p", "Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 503")
    await one.told("p", "Killing", "failed liveness probe")

    async def again():
        status = (await one.get(kinds.PODS, "p"))["status"]["containerStatuses"][0]
        return status["restartCount"] == 1 and status["ready"] and status

    status = await one.until(again)
    assert status["lastState"]["terminated"]["message"] == "port 50000 in use"


async def test_a_hook_after_the_start_holds_the_first_probe_back(one):
    """The driver's own hook waits until the program listens: no probe is ever turned away at a closed door."""
    env = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    script = AWAIT_DOOR.replace(str(names.HEALTH_PORT), "8080")
    container = {
        "command": ["nvdra", "imex-daemon", "run"],
        "args": [],
        "env": env,
        "lifecycle": {"postStart": {"exec": {"command": ["bash", "-c", script]}}},
        "readinessProbe": {"httpGet": {"port": 8080, "path": "/readyz"}, "periodSeconds": 100},
    }
    await one.pod("p", container=container)

    async def ready():
        statuses = ((await one.get(kinds.PODS, "p")).get("status") or {}).get("containerStatuses") or [{}]
        return statuses[0].get("ready")

    await one.until(ready)


async def test_a_container_whose_hook_fails_is_killed(one):
    """As a kubelet does it, with its Event."""
    await one.pod("p", container={"lifecycle": {"postStart": {"exec": {"command": ["bash", "-c", "exit 3"]}}}})
    await one.told("p", "FailedPostStartHook", "exit code 3")


async def test_containers_outlive_a_kubelet_restart(one):
    """After a restart of the kubelet the same container goes on and is still stopped in order."""
    await one.pod("p")
    before = await one.running("p")
    await one.nodes["node-a"].kubelet.restart()
    assert [c.ended for c in one.nodes["node-a"].runtime.sandboxes[before["metadata"]["uid"]].containers.values()] == [
        None
    ]
    await one.cluster.delete(kinds.PODS, "p", "default")
    await one.gone(kinds.PODS, "p")
    assert not one.nodes["node-a"].runtime.sandboxes


async def test_a_reboot_gives_a_new_boot_id_and_starts_pods_again(one):
    """After a reboot the Node has another bootID and its pods run again, counted as restarted."""
    await one.pod("p")
    await one.running("p")
    before = (await one.get(kinds.NODES, "node-a"))["status"]["nodeInfo"]["bootID"]
    await one.nodes["node-a"].reboot()
    assert (await one.get(kinds.NODES, "node-a"))["status"]["nodeInfo"]["bootID"] != before

    async def restarted():
        return (await one.get(kinds.PODS, "p"))["status"]["containerStatuses"][0]["restartCount"] == 1

    await one.until(restarted)


async def test_a_crashed_node_is_counted_as_lost(one):
    """A node without power gets Ready Unknown and its pods are no longer Ready; it comes back with a boot."""
    await one.pod("p")
    await one.running("p")
    await one.nodes["node-a"].crash()

    async def lost():
        node, pod = await one.get(kinds.NODES, "node-a"), await one.get(kinds.PODS, "p")
        ready = {c["type"]: c["status"] for c in pod["status"]["conditions"]}["Ready"]
        return node["status"]["conditions"][0]["status"] == "Unknown" and ready == "False"

    await one.until(lost)
    await one.nodes["node-a"].reboot()
    await one.running("p")
    assert not (await one.get(kinds.NODES, "node-a"))["spec"].get("taints")


async def test_a_partitioned_node_finishes_its_work_when_the_link_is_back(one):
    """What is deleted while a node is cut off goes on running there, and is removed once the link is mended."""
    await one.pod("p")
    pod = await one.running("p")
    one.nodes["node-a"].partition(True)
    await one.cluster.delete(kinds.PODS, "p", "default")

    async def lost():
        return (await one.get(kinds.NODES, "node-a"))["status"]["conditions"][0]["status"] == "Unknown"

    await one.until(lost)
    assert pod["metadata"]["uid"] in one.nodes["node-a"].runtime.sandboxes
    one.nodes["node-a"].partition(False)
    await one.gone(kinds.PODS, "p")


async def test_pods_of_a_vanished_node_are_collected(one):
    """When a Node object is deleted its pods are removed by force."""
    await one.pod("p")
    await one.running("p")
    await one.nodes["node-a"].crash()
    await one.cluster.delete(kinds.NODES, "node-a")
    await one.gone(kinds.PODS, "p")


async def test_init_containers_come_first_and_can_end_a_pod(one):
    """They run in order before the others; one that fails in a pod that is not restarted ends it."""
    first = {"name": "first", "image": "x", "command": ["sh", "-c", "cat /etc/hostname"]}
    await one.pod("p", spec={"initContainers": [first]})
    pod = await one.running("p")
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    assert await one.log("p", "first") == "p\n"
    await one.pod("q", spec={"initContainers": [{**first, "command": ["false"]}], "restartPolicy": "Never"})
    assert (await one.ended("q"))["status"]["phase"] == "Failed"
    await one.pod("r", spec={"initContainers": [{**first, "restartPolicy": "Always"}]})
    refused = await one.ended("r")
    assert refused["status"]["reason"] == "UnsupportedByRack"
    assert refused["status"]["message"] == "init container first is a sidecar, which the rack does not know"


async def test_volumes_are_seen_where_they_are_mounted(one, root):
    """A ConfigMap's files, a folder of the node and an empty one; a missing ConfigMap is waited for."""
    (root / "node-a/opt/data").mkdir(parents=True)
    (root / "node-a/opt/data/file").write_text("from the node\n")
    volumes = [
        {"name": "m", "configMap": {"name": "m"}},
        {"name": "h", "hostPath": {"path": "/opt/data"}},
        {"name": "e", "emptyDir": {}},
    ]
    mounts = [{"name": name, "mountPath": f"/mnt/{name}"} for name in "mhe"]
    script = "cat /mnt/m/key /mnt/h/file; echo $KEY; ls /mnt; trap 'exit 0' TERM; sleep 9999 & wait"
    env = [{"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "key"}}}]
    await one.pod("p", script=script, container={"volumeMounts": mounts, "env": env}, spec={"volumes": volumes})
    await one.told("p", "Failed", "couldn't find key key in configMap m")
    await one.create(kinds.CONFIG_MAPS, {"metadata": {"name": "m"}, "data": {"key": "from the map"}})
    await one.running("p")
    assert (await one.log("p")).splitlines() == ["from the map", "from the node", "from the map", "e", "h", "m"]


async def test_followed_logs_end_with_the_container(one):
    """`kubectl logs -f` gets what comes, and ends when the container does."""
    await one.pod("p", script="echo one; sleep 0.3; echo two", spec={"restartPolicy": "Never"})
    await one.running("p")
    chunks = [chunk async for chunk in one.world.logs("default", "p", "ctr", False, True)]
    assert b"".join(chunks) == b"one\ntwo\n"


async def _ready(rack, name):
    status = (await rack.get(kinds.PODS, name))["status"]
    return {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"
