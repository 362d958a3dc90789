"""The user guide's nvbandwidth example on two real nodes: sshd, mpirun, eight ranks, and a channel in front of each."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from attrs import frozen

from nvdra.api import names
from nvdra.sim.manifests import example
from tests.cluster import leftovers, mpi_image, mpijob
from tests.cluster.bed.cluster import Cluster
from tests.cluster.image import CHECKOUT
from tests.cluster.view import Json, User, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("driver")]
NAME = "nvbandwidth-test"
DOMAIN = f"{NAME}-compute-domain"
TEST = "multinode_device_to_device_memcpy_read_ce"
LAUNCHER, WORKERS = f"job-name={NAME}-launcher", f"{NAME}-replica=mpi-worker"
MANIFEST = str(example("nvbandwidth-test-job"))
RANKS, PER_NODE = 8, 4
MEASURED = re.compile(r"\d+\.\d\d")
CHANNEL = "/dev/nvidia-caps-imex-channels/channel0"


@pytest.fixture(scope="module")
def operator(bed: Cluster, user: User, driver: None) -> Iterator[None]:
    """The MPI operator is installed and at work."""
    mpijob.install(bed, user)
    command = [sys.executable, "-m", "tests.cluster.mpijob", "--name", bed.layout.name, "--installed"]
    with (bed.layout.logs / "mpi-operator.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log)
    yield
    process.terminate()
    process.wait(timeout=10)
    mpijob.uninstall(user)


@frozen
class Seen:
    """What there was to see while the guide's example ran, and its log when it had."""

    listed: str
    workers: list[Json]
    daemons: list[Json]
    launcher: Json
    log: str


@pytest.fixture(scope="module")
def seen(bed: Cluster, user: User, operator: None) -> Iterator[Seen]:
    """The guide's steps, with its own manifest and commands."""
    user.kubectl("apply", "-f", MANIFEST)
    listed = until("the guide's three pods run", lambda: running(user), 90)
    workers = pods_of(user, WORKERS)
    daemons = user.json("get", "pods", "-n", names.DRIVER_NAMESPACE, "-l", names.DOMAIN_LABEL)["items"]
    ended = ("Succeeded", "Failed")
    until("the launcher ended", lambda: [p for p in pods_of(user, LAUNCHER) if p["status"]["phase"] in ended], 120)
    log = user.kubectl("logs", "--tail=-1", "-l", LAUNCHER)
    yield Seen(listed, workers, daemons, pods_of(user, LAUNCHER)[0], log)
    user.kubectl("delete", "-f", MANIFEST, "--ignore-not-found", "--timeout=60s")


def running(user: User) -> str:
    """What `kubectl get pods` shows, once all of the guide's pods run."""
    shown = user.kubectl("get", "pods")
    return shown if len(re.findall(rf"^{NAME}-\S+ +1/1 +Running", shown, re.MULTILINE)) == 3 else ""


def pods_of(user: User, labels: str) -> list[Json]:
    """Pods of that kind."""
    found: list[Json] = user.json("get", "pods", "-l", labels)["items"]
    return found


def test_workers_are_on_two_nodes_of_one_clique(user: User, seen: Seen) -> None:
    """Both workers run, with an IMEX daemon beside each; the launcher is on the control plane and succeeded."""
    shown = [line.split()[0] for line in seen.listed.splitlines()[1:]]
    assert [name for name in shown if re.fullmatch(f"{NAME}-launcher-[a-z0-9]{{5}}", name)]
    assert {f"{NAME}-worker-0", f"{NAME}-worker-1"} < set(shown)
    nodes = {pod["spec"]["nodeName"] for pod in seen.workers}
    assert {pod["spec"]["nodeName"] for pod in seen.daemons} == nodes == {"node-1", "node-2"}
    labels = [user.json("get", "node", node)["metadata"]["labels"] for node in nodes]
    assert len({found[names.GPU_CLIQUE_LABEL] for found in labels}) == 1
    assert all(re.fullmatch(f"{DOMAIN}-[a-z0-9]{{5}}-[a-z0-9]{{5}}", pod["metadata"]["name"]) for pod in seen.daemons)
    assert seen.launcher["status"]["phase"] == "Succeeded", seen.log
    assert seen.launcher["spec"]["nodeName"] == "node-1"


def test_the_log_has_the_table_of_all_pairs(seen: Seen) -> None:
    """Ssh, bindings and ranks as in the guide's listing; every pair was measured, and the sum is the table's."""
    for number in (0, 1):
        assert f"Permanently added '[{NAME}-worker-{number}.{NAME}.default.svc]:2222' (ECDSA)" in seen.log
    for rank in range(RANKS):
        worker = f"{NAME}-worker-{rank // PER_NODE}"
        assert re.search(rf"^\[{worker}:\d+\] MCW rank {rank} bound to ", seen.log, re.MULTILINE), seen.log
        assert f"\nProcess {rank} ({worker}): no GPU, {CHANNEL} (507:0) admitted" in seen.log, seen.log
    table = table_in(seen.log)
    assert [[cell == "N/A" for cell in row] for row in table] == [
        [row == column for column in range(RANKS)] for row in range(RANKS)
    ]
    cells = [cell for row in table for cell in row if cell != "N/A"]
    assert all(MEASURED.fullmatch(cell) and float(cell) > 0 for cell in cells), cells
    total = re.search(rf"^SUM {TEST} (\S+)$", seen.log, re.MULTILINE)
    assert total
    assert float(total[1]) == pytest.approx(sum(map(float, cells)), abs=0.005 * len(cells) + 0.01)
    assert "It measured a CPU network" in seen.log


def test_it_succeeds_and_after_deletion_nothing_is_left(bed: Cluster, user: User, seen: Seen) -> None:
    """When it is over only the launcher stays, with its log; then `kubectl delete -f` takes all that came of the manifest."""
    user.kubectl("wait", "--for=condition=Succeeded", f"mpijob/{NAME}", "--timeout=30s")
    until("the workers are gone", lambda: not pods_of(user, WORKERS), 60)
    assert user.kubectl("logs", "--tail=-1", "-l", LAUNCHER) == seen.log
    said = user.kubectl("delete", "-f", MANIFEST, "--timeout=60s")
    assert f'computedomain.resource.nvidia.com "{DOMAIN}" deleted' in said
    assert f'mpijob.kubeflow.org "{NAME}" deleted' in said
    leftovers.all_gone(bed, user)
    until("the launcher is gone", lambda: not pods_of(user, LAUNCHER), 30)
    made = ("get", "jobs,secrets,configmaps,services", "-l", f"app={NAME}", "-o", "name")
    until("what the operator made is gone", lambda: not user.kubectl(*made), 30)


@pytest.mark.parametrize(
    ("made", "why"), [("true", "No such file or directory"), (f"mknod {CHANNEL} c 507 0", "Operation not permitted")]
)
def test_a_rank_without_a_channel_fails(user: User, operator: None, made: str, why: str) -> None:
    """No claim, no run: without the device node, and with one that the container made for itself and no cgroup admits."""
    script = f"mkdir -p {CHANNEL.rpartition('/')[0]} && {made} && exec nvbandwidth -t {TEST}"
    container = {"name": "ctr", "image": mpi_image.NAME, "command": ["bash", "-c", script]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "no-channel"}}
    user.apply(
        {**pod, "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}}
    )
    try:
        user.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/no-channel", "--timeout=30s")
        assert f"{CHANNEL}: {why}" in user.kubectl("logs", "no-channel")
    finally:
        user.kubectl("delete", "pod", "no-channel", "--timeout=30s")


def table_in(log: str) -> list[list[str]]:
    """The cells below the heading, row by row."""
    lines = log[log.index(f"Running {TEST}.") :].splitlines()
    assert lines[1] == "memcpy CE GPU(row) -> GPU(column) bandwidth (GB/s)"
    assert lines[2].split() == [str(rank) for rank in range(RANKS)]
    rows = [line.split() for line in lines[3 : 3 + RANKS]]
    assert [row[0] for row in rows] == [str(rank) for rank in range(RANKS)]
    return [row[1:] for row in rows]
