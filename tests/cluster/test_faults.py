"""What breaks under a running domain on real nodes: each time the right end, and nothing leaked (the fixture looks)."""

import asyncio
import signal
import subprocess

import pytest

from nvdra.api import names
from tests.cluster import audit, installation, leftovers
from tests.cluster.bed.cluster import Cluster
from tests.cluster.view import PODS, User, filmed, pod_ready, running, runs, until
from tests.cluster.workloads import worker

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("driver")]


async def both_run(bed: Cluster, user: User, pair: str) -> None:
    async with filmed(bed.layout.kubeconfig, PODS) as film:
        user.apply(worker(pair, 1), worker(pair, 2))
        for number in (1, 2):
            await film.first(f"worker {number} runs", runs(f"{pair}-{number}"), limit=60)


async def test_a_killed_imex_comes_back_and_the_domain_with_it(bed: Cluster, user: User, pair: str) -> None:
    """nvidia-imex killed on one node: it is started again in the same pod, and the domain is whole again."""
    await both_run(bed, user, pair)
    before = leftovers.imex_processes(bed)
    on_node(bed, "kill", "-9", before[0])
    until("there are two again", lambda: (now := leftovers.imex_processes(bed)) != before and len(now) == 2, 60)
    until("both daemons are ready", lambda: sum(map(pod_ready, daemons(user))) == 2, 60)
    assert all(running(user.json("get", "pod", f"{pair}-{number}")) for number in (1, 2))


async def test_plugins_killed_during_prepare(bed: Cluster, user: User, pair: str) -> None:
    """SIGKILL to both plugins while one worker waits: the kubelet tries again with the new ones, and both run."""
    user.apply(worker(pair, 1))
    until("its node is labelled", lambda: user.json("get", "nodes", "-l", names.DOMAIN_LABEL)["items"], 20)
    on_node(bed, "pkill", "-KILL", "-f", "nvdra kubelet-plugin")
    async with filmed(bed.layout.kubeconfig, PODS) as film:
        user.apply(worker(pair, 2))
        for number in (1, 2):
            await film.first(f"worker {number} runs", runs(f"{pair}-{number}"), limit=120)
    await asyncio.to_thread(until, "the driver is ready", lambda: installation.ready(user), 60)


async def test_containerd_restarts(bed: Cluster, user: User, pair: str) -> None:
    """Containerd of one node is restarted: containers go on, the claim is released by the next containerd."""
    await both_run(bed, user, pair)
    before = leftovers.imex_processes(bed)
    bed.stop("node-1/containerd")
    bed.start("node-1/containerd")
    await asyncio.to_thread(until, "the driver is ready", lambda: installation.ready(user), 60)
    assert leftovers.imex_processes(bed) == before


async def test_the_api_server_is_gone_for_a_while(bed: Cluster, user: User, pair: str) -> None:
    """Without API server nothing that runs is disturbed; when it is back, the domain can be left and is cleaned up."""
    await both_run(bed, user, pair)
    before = leftovers.imex_processes(bed)
    bed.stop("kube-apiserver", signal.SIGKILL)
    await asyncio.sleep(15)
    back = audit.now()
    bed.start("kube-apiserver")
    await asyncio.to_thread(until, "the server answers", lambda: answers(bed, user), 60)
    audit.NOT_READY.append((back, audit.now()))
    await asyncio.to_thread(until, "the driver is ready", lambda: installation.ready(user), 60)
    assert leftovers.imex_processes(bed) == before


async def test_a_domain_deleted_under_its_workload(bed: Cluster, user: User, pair: str) -> None:
    """The domain goes at once with its daemons; the workers lose them and say so; nothing is left after the workers."""
    await both_run(bed, user, pair)
    user.kubectl("delete", "computedomain", pair, "--timeout=60s")
    until("no daemon is left", lambda: not leftovers.imex_processes(bed), 60)


async def test_an_upgrade_leaves_every_imex_alone(bed: Cluster, user: User, pair: str) -> None:
    """Helm upgrade with other pods' annotations replaces controller and plugins; nvidia-imex keeps its process."""
    await both_run(bed, user, pair)
    before = leftovers.imex_processes(bed)
    installation.by_helm(user, f"upgrade-{pair}")
    await asyncio.to_thread(until, "the new driver is ready", lambda: marked(user, f"upgrade-{pair}"), 90)
    assert leftovers.imex_processes(bed) == before
    assert all(running(user.json("get", "pod", f"{pair}-{number}")) for number in (1, 2))


def on_node(bed: Cluster, *command: str) -> None:
    """Processes of both nodes are seen from either: the bed has one process namespace."""
    subprocess.run(bed.on_node(1, *command), check=True)


def daemons(user: User) -> list[dict[str, object]]:
    found: list[dict[str, object]] = user.json("get", "pods", "-n", names.DRIVER_NAMESPACE, "-l", names.DOMAIN_LABEL)[
        "items"
    ]
    return found


def marked(user: User, build: str) -> bool:
    """Whether all of the driver's pods are those of that build, and ready."""
    builds = {pod["metadata"]["annotations"].get("build") for pod in installation.pods(user)}
    return builds == {build} and installation.ready(user)


def answers(bed: Cluster, user: User) -> bool:
    command = [str(user.kubectl_program), f"--kubeconfig={bed.layout.kubeconfig}", "get", "--raw", "/readyz"]
    return subprocess.run(command, capture_output=True).returncode == 0
