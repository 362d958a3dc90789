"""What befalls a node under a running domain: drained, rebooted, given another driver. Each time the right end, nothing leaked."""

import json
from collections.abc import Iterator

import pytest

from nvdra.api import names
from tests.cluster import installation, leftovers, processes
from tests.cluster.bed import driver as nvidia
from tests.cluster.bed import hardware
from tests.cluster.bed.cluster import Cluster
from tests.cluster.bed.reboot import reboot
from tests.cluster.life import DAEMON, both_run, daemon_on, labelled, ready_daemons, restarts, state
from tests.cluster.view import Json, User, running, until
from tests.cluster.workloads import worker

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("driver")]
NEXT_DRIVER = "590.44.01"


@pytest.fixture
def busy(user: User, pair: str) -> str:
    """A domain of two whose workers run, and start again when they end."""
    both_run(user, pair, "Always")
    return pair


@pytest.fixture
def cordoned_in_the_end(user: User) -> Iterator[None]:
    """Node 2 takes pods again, whatever happens."""
    yield
    user.kubectl("uncordon", "node-2")


@pytest.fixture
def driver_restored(bed: Cluster, user: User) -> Iterator[None]:
    """Node 2 has the driver that it came with, and the plugin has seen it."""
    yield
    nvidia.unload(bed, 2)
    nvidia.load(bed, 2)
    until("the driver of before is seen", lambda: f"driver {hardware.DRIVER}" in said_last(user), 20)


@pytest.mark.usefixtures("cordoned_in_the_end")
def test_a_drained_node_is_left_clean_and_serves_again(bed: Cluster, user: User, busy: str) -> None:
    """A drain takes the worker, its label and its daemon away and nothing else; after the uncordon the node serves as before."""
    before = uid_of(user, f"{busy}-1")
    user.kubectl("drain", "node-2", "--ignore-daemonsets", "--force", "--delete-emptydir-data", "--timeout=90s")
    until("the label is gone", lambda: labelled(user) == ["node-1"], 30)
    until("node 2 is clean", lambda: leftovers.of_claims(bed, 2) == [], 30)
    until("its daemon is gone", lambda: len(leftovers.imex_processes(bed)) == 1, 30)
    assert uid_of(user, f"{busy}-1") == before
    assert running(user.json("get", "pod", f"{busy}-1"))

    user.kubectl("uncordon", "node-2")
    user.apply(worker(busy, 2))
    until("worker 2 runs", lambda: running(user.json("get", "pod", f"{busy}-2")), 60)
    until("the domain is Ready", lambda: state(user, busy) == "Ready", 30)
    until("the driver is ready", lambda: installation.ready(user), 60)


def test_a_rebooted_node_takes_its_place_again(bed: Cluster, user: User, busy: str) -> None:
    """A new boot id, /run and /dev empty: claims are prepared anew, the worker there starts again, the other never stopped."""
    daemon = daemon_on(user, "node-1")["metadata"]["uid"]
    first, boot = uid_of(user, f"{busy}-1"), recorded_boots(bed, 2)
    assert boot == {bed.layout.node(2).boot_id.read_text().strip()}
    reboot(bed, 2)
    new = bed.layout.node(2).boot_id.read_text().strip()
    until("the kubelet tells the new boot", lambda: boot_of(user, "node-2") == new, 60)
    until("worker 2 runs again", lambda: again(user.json("get", "pod", f"{busy}-2")), 120)
    until("both daemons are ready", lambda: ready_daemons(user) == 2, 60)
    until("the domain is Ready", lambda: state(user, busy) == "Ready", 30)
    until("the driver is ready", lambda: installation.ready(user), 60)

    assert recorded_boots(bed, 2) == {new}
    assert "channel0" in user.kubectl("logs", f"{busy}-2")
    assert (uid_of(user, f"{busy}-1"), daemon_on(user, "node-1")["metadata"]["uid"]) == (first, daemon)
    assert restarts(user.json("get", "pod", f"{busy}-1")) == 0


@pytest.mark.usefixtures("driver_restored")
def test_another_driver_is_seen_and_given_to_daemons(bed: Cluster, user: User, busy: str) -> None:
    """While the driver is gone the plugin says so; with the next one, what runs goes on, and a daemon that restarts gets it."""
    before = leftovers.imex_processes(bed)
    nvidia.unload(bed, 2)
    until("its absence is told", lambda: "has no libnvidia-ml.so.1" in said_last(user), 20)
    nvidia.load(bed, 2, NEXT_DRIVER)
    until("the next driver is told", lambda: f"driver {NEXT_DRIVER}" in said_last(user), 20)
    assert leftovers.imex_processes(bed) == before
    assert all(running(user.json("get", "pod", f"{busy}-{number}")) for number in (1, 2))

    pod = daemon_on(user, "node-2")
    processes.kill(bed, *processes.of_pod(bed, pod, DAEMON))
    until("it was started again", lambda: restarts(daemon_on(user, "node-2")) == 1, 60)
    until("both daemons are ready", lambda: ready_daemons(user) == 2, 60)
    inside = user.kubectl(
        "exec",
        "-n",
        names.DRIVER_NAMESPACE,
        pod["metadata"]["name"],
        "--",
        "sh",
        "-c",
        f"ls /{hardware.LIBRARIES}; env",
    )
    assert f"libnvidia-ml.so.{NEXT_DRIVER}" in inside
    assert f"DRIVER_VERSION={NEXT_DRIVER}" in inside


def said_last(user: User) -> str:
    """The last two things that the plugin of node 2 said of its node's hardware: what it is, and which driver."""
    (pod,) = (p for p in installation.pods(user, "kubelet-plugin") if p["spec"]["nodeName"] == "node-2")
    log = user.kubectl("logs", "-n", names.DRIVER_NAMESPACE, pod["metadata"]["name"])
    return "\n".join([line for line in log.splitlines() if "this node: " in line][-2:])


def recorded_boots(bed: Cluster, number: int) -> set[str]:
    """In which boots the claims that are recorded on the node were prepared."""
    found = (bed.layout.node(number).root / "kubelet/plugins" / names.CD_DRIVER / "claims").glob("*.json")
    return {json.loads(path.read_text())["boot_id"] for path in found}


def boot_of(user: User, node: str) -> str:
    return str(user.json("get", "node", node)["status"]["nodeInfo"]["bootID"])


def uid_of(user: User, pod: str) -> str:
    return str(user.json("get", "pod", pod)["metadata"]["uid"])


def again(pod: Json) -> bool:
    """Whether it runs, and not for the first time."""
    return running(pod) and all(state["restartCount"] > 0 for state in pod["status"]["containerStatuses"])
