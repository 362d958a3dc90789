"""DaemonSets, Jobs and MPIJobs, the last as the user guide writes them."""

from pathlib import Path

import pytest
import yaml

from nvdra.sim.kube import kinds
from nvdra.sim.kube.runtime.mpirun import ImexView

CLIQUE = "9277d399-0674-44a9-b64e-d85bb19ce2b0.32766"
OTHER = "9277d399-0674-44a9-b64e-d85bb19ce2b0.1"

GUIDE = Path(__file__).parents[3] / "examples/nvbandwidth-test-job.yaml"


def the_guides_job():
    """The MPIJob of the user guide's own manifest."""
    return next(found for found in yaml.safe_load_all(GUIDE.read_text()) if found and found["kind"] == "MPIJob")


@pytest.fixture
async def two(rack):
    await rack.start({"control-plane": "", "node-a": CLIQUE, "node-b": CLIQUE})
    await rack.with_plugins()
    await rack.template()
    await rack.template("nvbandwidth-test-compute-domain-channel")
    return rack


async def _launcher(rack):
    pods = (await rack.cluster.list(kinds.PODS, "default", labels="job-name=nvbandwidth-test-launcher")).items
    return pods[0] if pods else None


async def _mpi_condition(rack, kind):
    job = await rack.get(kinds.MPI_JOBS, "nvbandwidth-test")
    conditions = (job.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == kind and c["status"] == "True"), None)


async def test_the_guides_mpijob_runs_to_its_end(two):
    """Workers first, in one clique with all GPUs; then the launcher on the control plane; then only it is left."""
    two.imex |= dict.fromkeys(("node-a", "node-b"), ImexView(f"domain/{CLIQUE}", ready=True))
    await two.create(kinds.MPI_JOBS, the_guides_job())
    await two.until(lambda: _mpi_condition(two, "Succeeded"))
    launcher = await _launcher(two)
    assert launcher["spec"]["nodeName"] == "control-plane"
    assert launcher["metadata"]["name"].startswith("nvbandwidth-test-launcher-")
    log = await two.log(launcher["metadata"]["name"], "mpi-launcher")
    assert "[nvbandwidth-test-worker-1] MCW rank 7 bound to node" in log
    assert "No bandwidth was measured: this rack has no GPUs" in log
    assert "7      ok   ok   ok   ok   ok   ok   ok  N/A" in log
    for index in (0, 1):
        await two.gone(kinds.PODS, f"nvbandwidth-test-worker-{index}")
    assert (await _launcher(two))["status"]["phase"] == "Succeeded"
    await two.until(lambda: all("unprepare" in {v for v, _, _ in two.plugins[n].calls} for n in ("node-a", "node-b")))


@pytest.mark.parametrize(
    ("imex", "reason"),
    [
        (
            {"node-a": ImexView("d1", ready=True), "node-b": ImexView("d2", ready=True)},
            "the workers are in 2 IMEX domains, not one: d1, d2",
        ),
        ({"node-a": ImexView("d1", ready=True)}, "its IMEX daemon is not ready: no IMEX daemon runs there"),
    ],
)
async def test_a_launcher_fails_where_memory_could_not_be_reached(two, imex, reason):
    """Two IMEX domains, or a node without a ready daemon, end the job with exit code 1 and the reason in its log."""
    two.imex |= imex
    body = the_guides_job()
    body["spec"]["runPolicy"]["backoffLimit"] = 0
    await two.create(kinds.MPI_JOBS, body)
    await two.until(lambda: _mpi_condition(two, "Failed"))
    launcher = await _launcher(two)
    assert reason in await two.log(launcher["metadata"]["name"], "mpi-launcher")


async def test_a_launcher_fails_without_a_channel(two):
    """A worker without channel0 is named."""
    two.imex |= dict.fromkeys(("node-a", "node-b"), ImexView("d", ready=True))
    body = the_guides_job()
    body["spec"]["runPolicy"]["backoffLimit"] = 0
    worker = body["spec"]["mpiReplicaSpecs"]["Worker"]["template"]["spec"]
    del worker["resourceClaims"], worker["containers"][0]["resources"]["claims"]
    await two.create(kinds.MPI_JOBS, body)
    await two.until(lambda: _mpi_condition(two, "Failed"))
    launcher = await _launcher(two)
    assert "channel0 is missing" in await two.log(launcher["metadata"]["name"], "mpi-launcher")


async def test_workers_of_one_group_stay_in_one_clique(rack):
    """Pod affinity on the clique label: the third worker finds no node, though another clique has one."""
    await rack.start({"node-a": CLIQUE, "node-b": CLIQUE, "node-c": OTHER})
    spec = the_guides_job()["spec"]["mpiReplicaSpecs"]["Worker"]["template"]["spec"]
    gpus = {"resources": {"limits": {"nvidia.com/gpu": 4}}}
    labels = {"labels": {"nvbandwidth-test-replica": "mpi-worker"}}
    await rack.pod(
        "first",
        container=gpus,
        metadata=labels,
        spec={"affinity": spec["affinity"], "nodeSelector": {"kubernetes.io/hostname": "node-a"}},
    )
    await rack.running("first")
    for name in ("second", "third"):
        await rack.pod(name, container=gpus, metadata=labels, spec={"affinity": spec["affinity"]})
    second = await rack.running("second")
    assert second["spec"]["nodeName"] == "node-b"
    text = "0/3 nodes are available: 1 node(s) didn't match pod affinity rules, 2 Insufficient nvidia.com/gpu."
    await rack.told("third", "FailedScheduling", text)
    await rack.cluster.delete(kinds.PODS, "second", "default")
    third = await rack.running("third")
    assert third["spec"]["nodeName"] == "node-b"


async def test_a_job_counts_successes_and_failures(two):
    """A Job ends Complete after its completions, Failed beyond its back-off limit."""
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x", "command": ["true"]}]}}
    await two.create(
        kinds.JOBS, {"metadata": {"name": "good"}, "spec": {"completions": 3, "parallelism": 2, "template": template}}
    )
    bad = {"spec": {**template["spec"], "containers": [{"name": "c", "image": "x", "command": ["false"]}]}}
    await two.create(kinds.JOBS, {"metadata": {"name": "bad"}, "spec": {"backoffLimit": 1, "template": bad}})

    async def ended(name):
        status = (await two.get(kinds.JOBS, name)).get("status") or {}
        done = [c for c in status.get("conditions") or [] if c["type"] in {"Complete", "Failed"}]
        return done and (done[0]["type"], status["succeeded"], status["failed"])

    assert await two.until(lambda: ended("good")) == ("Complete", 3, 0)
    assert await two.until(lambda: ended("bad")) == ("Failed", 0, 2)
    job = await two.get(kinds.JOBS, "good")
    mine = job["metadata"]["uid"]
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": mine}}
    pods = (await two.cluster.list(kinds.PODS, "default", labels=f"batch.kubernetes.io/controller-uid={mine}")).items
    assert len(pods) == 3, "a Job's selector finds its pods, as kubectl looks for them"


def _daemon_set(strategy, image="a"):
    container = {
        "name": "d",
        "image": image,
        "command": ["sh", "-c"],
        "args": ["trap 'exit 0' TERM; sleep 9999 & wait"],
    }
    template = {
        "metadata": {"labels": {"app": "d"}},
        "spec": {"nodeSelector": {"pick": "me"}, "containers": [container]},
    }
    spec = {"selector": {"matchLabels": {"app": "d"}}, "template": template, "updateStrategy": {"type": strategy}}
    return {"metadata": {"name": "ds"}, "spec": spec}


async def _daemons(rack):
    pods = (await rack.cluster.list(kinds.PODS, "default", labels="app=d")).items
    alive = [p for p in pods if not p["metadata"].get("deletionTimestamp")]
    return {p["spec"].get("nodeName"): p for p in alive if p.get("status", {}).get("phase") == "Running"}


async def test_a_daemonset_follows_node_labels(two):
    """A labelled node gets its daemon, named `<set>-<5 letters>`; not a tainted one; without the label it goes."""
    taint = {"key": "keep", "value": "off", "effect": "NoSchedule"}
    await two.cluster.patch(kinds.NODES, "control-plane", {"spec": {"taints": [taint]}})
    await two.create(kinds.DAEMON_SETS, _daemon_set("OnDelete"))
    for node in ("node-a", "node-b", "control-plane"):
        await two.cluster.patch(kinds.NODES, node, {"metadata": {"labels": {"pick": "me"}}})

    async def on(*nodes):
        return set(await _daemons(two)) == set(nodes)

    await two.until(lambda: on("node-a", "node-b"))
    name = (await _daemons(two))["node-a"]["metadata"]["name"]
    assert len(name.removeprefix("ds-")) == 5

    async def reported():
        status = (await two.get(kinds.DAEMON_SETS, "ds")).get("status") or {}
        return (
            status.get("desiredNumberScheduled"),
            status.get("numberReady"),
            status.get("updatedNumberScheduled"),
        ) == (2, 2, 2)

    await two.until(reported)
    await two.cluster.patch(kinds.NODES, "node-a", {"metadata": {"labels": {"pick": None}}})
    await two.until(lambda: on("node-b"))


@pytest.mark.parametrize(("strategy", "images"), [("OnDelete", {"a"}), ("RollingUpdate", {"b"})])
async def test_a_changed_template_is_rolled_out_or_left(two, strategy, images):
    """RollingUpdate replaces the daemons; OnDelete leaves them until somebody deletes them."""
    await two.create(kinds.DAEMON_SETS, _daemon_set(strategy))
    for node in ("node-a", "node-b"):
        await two.cluster.patch(kinds.NODES, node, {"metadata": {"labels": {"pick": "me"}}})

    async def running(*, images):
        daemons = await _daemons(two)
        return len(daemons) == 2 and {d["spec"]["containers"][0]["image"] for d in daemons.values()} == images

    await two.until(lambda: running(images={"a"}))
    await two.cluster.patch(kinds.DAEMON_SETS, "ds", {"spec": _daemon_set(strategy, "b")["spec"]}, "default")

    async def seen():
        status = (await two.get(kinds.DAEMON_SETS, "ds"))["status"]
        return status["observedGeneration"] == 2 and status["numberReady"] == 2

    await two.until(seen)
    await two.until(lambda: running(images=images))
    if strategy == "OnDelete":
        await two.cluster.delete(kinds.PODS, (await _daemons(two))["node-a"]["metadata"]["name"], "default")
        await two.until(lambda: running(images={"a", "b"}))


async def test_the_clique_label_can_be_wrong_or_switched_off(two):
    """Feature discovery repairs its label, tells something wrong on command, and lets be when switched off."""
    label = "nvidia.com/gpu.clique"

    async def has(value):
        return (await two.get(kinds.NODES, "node-a"))["metadata"]["labels"].get(label) == value

    await two.cluster.patch(kinds.NODES, "node-a", {"metadata": {"labels": {label: "by-hand"}}})
    await two.until(lambda: has(CLIQUE))
    two.plane.discovery.tell("node-a", OTHER)
    await two.until(lambda: has(OTHER))
    two.plane.discovery.switch(False)
    await two.cluster.patch(kinds.NODES, "node-a", {"metadata": {"labels": {label: None}}})
    two.plane.discovery.tell("node-a", CLIQUE)
    await two.pod("later")
    await two.running("later")
    assert await has(None)


async def test_two_pods_for_one_channel_take_turns(two):
    """The node's only channel is exclusive: the second pod waits, says why, and gets it when the first is gone."""
    here = {"nodeSelector": {"kubernetes.io/hostname": "node-a"}}
    await two.pod("p", claim="channel", spec=dict(here))
    await two.running("p")
    await two.pod("q", claim="channel", spec=dict(here))
    await two.told("q", "FailedScheduling", "1 cannot allocate all claims")
    await two.cluster.delete(kinds.PODS, "p", "default")
    await two.running("q")
