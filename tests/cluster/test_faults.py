"""What breaks under a running domain on real nodes: each time the right end, and nothing leaked (the fixture looks)."""

import signal
import time
from collections.abc import Iterator

import pytest

from nvdra.api import names
from tests.cluster import audit, installation, leftovers, processes
from tests.cluster.bed.cluster import Cluster, run
from tests.cluster.life import DAEMON, answers, both_run, daemon_on, ready_daemons, restarts, state, workers_run
from tests.cluster.view import User, running, until
from tests.cluster.workloads import domain, worker

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("driver")]
OUTAGE = 60.0
OF_KUBERNETES = ("kube-controller-manager", "kube-scheduler", "node-1/kubelet", "node-2/kubelet")


@pytest.fixture
def two_controllers(user: User) -> Iterator[None]:
    """The release with two replicas of the controller, for one test; the plugins' pods stay as they are."""
    build = installation.build(user)
    installation.by_helm(user, build, "controller.replicas=2")
    until("two controllers are ready", lambda: installation.ready(user, 4), 60)
    yield
    installation.by_helm(user, build)
    until("there is one again", lambda: installation.ready(user), 60)


def test_a_killed_imex_comes_back_and_the_domain_with_it(bed: Cluster, user: User, pair: str) -> None:
    """nvidia-imex killed on one node: it is started again in the same pod, and the domain is whole again."""
    both_run(user, pair)
    before = leftovers.imex_processes(bed)
    processes.kill(bed, before[0])
    until("there are two again", lambda: (now := leftovers.imex_processes(bed)) != before and len(now) == 2, 60)
    until("both daemons are ready", lambda: ready_daemons(user) == 2, 60)
    assert workers_run(user, pair)


def test_a_killed_daemon_is_started_again(bed: Cluster, user: User, pair: str) -> None:
    """SIGKILL to our process beside nvidia-imex: its container starts again and takes up its place, the other is not touched."""
    both_run(user, pair)
    there, other = daemon_on(user, "node-1"), daemon_on(user, "node-2")
    kept = processes.of_pod(bed, other, "nvdra.sim.imex imex")
    processes.kill(bed, *processes.of_pod(bed, there, DAEMON))
    until("its container was started again", lambda: restarts(daemon_on(user, "node-1")) == 1, 60)
    until("both daemons are ready", lambda: ready_daemons(user) == 2, 60)
    until("the domain is Ready", lambda: state(user, pair) == "Ready", 30)
    assert daemon_on(user, "node-1")["metadata"]["uid"] == there["metadata"]["uid"]
    assert processes.of_pod(bed, other, "nvdra.sim.imex imex") == kept
    assert len(leftovers.imex_processes(bed)) == 2
    assert workers_run(user, pair)


def test_a_deleted_daemon_pod_is_replaced(bed: Cluster, user: User, pair: str) -> None:
    """Another pod takes its place, with an address of its own that the other daemon learns; the workers stay."""
    both_run(user, pair)
    gone = daemon_on(user, "node-1")
    name = gone["metadata"]["name"]
    user.kubectl("delete", "pod", "-n", names.DRIVER_NAMESPACE, name, "--timeout=60s")
    until("both daemons are ready", lambda: ready_daemons(user) == 2, 60)
    until("the domain is Ready", lambda: state(user, pair) == "Ready", 30)
    new = daemon_on(user, "node-1")
    assert new["metadata"]["uid"] != gone["metadata"]["uid"]
    other = daemon_on(user, "node-2")["metadata"]["name"]
    until("its address is known", lambda: new["status"]["podIP"] in hosts_of(user, other), 30)
    assert len(leftovers.imex_processes(bed)) == 2
    assert workers_run(user, pair)


def test_plugins_killed_during_prepare(bed: Cluster, user: User, pair: str) -> None:
    """SIGKILL to both plugins while one worker waits: the kubelet tries again with the new ones, and both run."""
    user.apply(worker(pair, 1))
    until("its node is labelled", lambda: user.json("get", "nodes", "-l", names.DOMAIN_LABEL)["items"], 20)
    run(bed.on_node(1, "pkill", "-KILL", "-f", "nvdra kubelet-plugin"))  # both nodes': one process namespace
    user.apply(worker(pair, 2))
    until("both workers run", lambda: workers_run(user, pair), 120)
    until("the driver is ready", lambda: installation.ready(user), 60)


def test_containerd_restarts(bed: Cluster, user: User, pair: str) -> None:
    """Containerd of one node is restarted: containers go on, the claim is released by the next containerd."""
    both_run(user, pair)
    before = leftovers.imex_processes(bed)
    bed.stop("node-1/containerd")
    bed.start("node-1/containerd")
    until("the driver is ready", lambda: installation.ready(user), 60)
    assert leftovers.imex_processes(bed) == before


def test_the_api_server_is_gone_for_a_minute(bed: Cluster, user: User, pair: str) -> None:
    """Without API server nothing that runs is disturbed; when it is back, the domain can be left and is cleaned up."""
    both_run(user, pair)
    before = leftovers.imex_processes(bed)
    bed.stop("kube-apiserver", signal.SIGKILL)
    time.sleep(OUTAGE)  # not a wait for something: its length is what is tested
    assert leftovers.imex_processes(bed) == before
    back = audit.now()
    bed.start("kube-apiserver")
    until("the server answers", lambda: answers(user), 60)
    audit.WITHOUT_RULES.append((back, audit.now()))
    until("the driver is ready", lambda: installation.ready(user), 60)
    assert leftovers.imex_processes(bed) == before
    assert workers_run(user, pair)
    for program in OF_KUBERNETES:  # their client would let up to two minutes pass before it watches again, ours 20 s
        bed.stop(program)
        bed.start(program)


@pytest.mark.usefixtures("two_controllers")
def test_the_other_controller_takes_over(bed: Cluster, user: User, pair: str) -> None:
    """SIGKILL to the leader of two: another process leads once the Lease is over, and serves the domain made meanwhile.

    Which one is chance: the container of the killed one starts again at once, and stands for election as the other does.
    """
    pods = {pod["metadata"]["name"]: pod for pod in installation.pods(user, "controller")}
    leader = until("one of the two leads", lambda: (found := leading(user)).startswith(tuple(pods)) and found, 40)
    (pod,) = (pod for name, pod in pods.items() if leader.startswith(name))
    processes.kill(bed, *processes.of_pod(bed, pod, "nvdra controller"))
    meanwhile = f"{pair}-meanwhile"
    user.apply(domain(meanwhile, 1))
    user.apply(worker(meanwhile, 1))
    until("somebody else leads", lambda: leading(user) != leader, 40)
    until("the worker runs", lambda: running(user.json("get", "pod", f"{meanwhile}-1")), 40)
    until("the killed one is back", lambda: installation.ready(user, 4), 60)
    user.kubectl("delete", f"pod/{meanwhile}-1", f"computedomain/{meanwhile}", "--timeout=60s")


def leading(user: User) -> str:
    """Who holds the controllers' Lease."""
    (lease,) = user.json("get", "leases", "-n", names.DRIVER_NAMESPACE)["items"]
    return str(lease["spec"].get("holderIdentity", ""))


def hosts_of(user: User, daemon: str) -> str:
    return user.kubectl("exec", "-n", names.DRIVER_NAMESPACE, daemon, "--", "cat", "/etc/hosts")
