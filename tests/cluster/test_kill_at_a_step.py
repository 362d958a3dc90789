"""kill -9 of real processes at chosen steps of their statecharts: the workers run all the same, and nothing is left."""

import signal
from collections.abc import Iterator

import pytest

from nvdra.sim.kill import KILLED, Place, Places
from tests.cluster import installation, processes
from tests.cluster.bed import killing
from tests.cluster.bed.cluster import Cluster
from tests.cluster.life import daemons, ready_daemons, restarts, state, workers_run
from tests.cluster.view import Json, User, running, until
from tests.cluster.workloads import domain, worker

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("driver")]
OURS = "nvdra (controller|kubelet-plugin)"


def places_in(life: str, *steps: str) -> list[Place]:
    """`leaf: point, point` each."""
    split = (step.partition(": ") for step in steps)
    return [Place(life, leaf, point) for leaf, _, points in split for point in points.split(", ")]


FORMING = [
    *places_in("compute-domain", "Admitting: finalizer", "Serving.Provisioning: entered, workload-template, daemonset"),
    *places_in(
        "channel-claim",
        "Recording: entered, record",
        "Holding.Joining: entered, record, node-label",
        "Holding.Waiting: entered, record, node-label",
        "Holding.Exposing: entered, record, node-label, cdi-spec",
    ),
    *places_in(
        "imex-daemon",
        "Preparing.Joining: entered",
        "Preparing.Configuring: config",
        "Running.Starting: entered, process",
        "Running.Settling: entered",
        "Running.Ready: entered",
    ),
]
"""From the domain's creation to its workers: for the plugin each step from the claim's sight to its CDI file."""
LEAVING = [
    *places_in("channel-claim", "Releasing.Noting: farewell", "Releasing.Hiding: cdi-spec"),
    *places_in("channel-claim", "Releasing.Leaving: node-label", "Releasing.Forgetting: record"),
    *places_in("imex-daemon", "Stopping.Ending: entered"),
    *places_in("compute-domain", "Terminating.Withdrawing: workload-template", "Terminating.Draining: daemonset"),
    *places_in("compute-domain", "Terminating.Releasing: entered"),
]
"""Until nothing is left of it."""


@pytest.fixture
def places(bed: Cluster, user: User, driver: None) -> Iterator[Places]:
    """Where the driver's processes are to be killed; in the end they are none that can be."""
    with killing.armed(bed) as found:
        start_anew(bed, user)
        yield found
    start_anew(bed, user)
    until("the driver is ready", lambda: installation.ready(user), 60)


def test_all_agents_are_killed_at_steps_of_one_life(user: User, pair: str, places: Places) -> None:
    """Each of these steps is somebody's last: both workers run, the domain is Ready, and all of it goes (the fixture looks)."""
    user.kubectl("delete", "computedomain", pair, "--timeout=60s")
    before = deaths(user)
    places.write(FORMING)
    user.apply(domain(pair, 2), worker(pair, 1), worker(pair, 2))
    until("both workers run", lambda: workers_run(user, pair), 150)
    until("somebody was killed at each step", lambda: not places.left(), 60)
    until("both daemons are ready", lambda: ready_daemons(user) == 2, 60)
    until("the domain is Ready", lambda: state(user, pair) == "Ready", 30)
    until("all were started again", lambda: deaths(user) - before >= len(FORMING), 30)
    assert workers_run(user, pair)
    places.write(LEAVING)
    user.kubectl("delete", "pods", f"{pair}-1", f"{pair}-2", "--timeout=120s")
    user.kubectl("delete", "computedomain", pair, "--timeout=60s")
    until("somebody was killed at each step", lambda: not places.left(), 60)


def deaths(user: User) -> int:
    """How often containers of the driver were started again; whose was, was killed the last time, or told to end by us."""
    there = [*installation.pods(user), *daemons(user)]
    states = [one for pod in there for one in pod["status"].get("containerStatuses", ())]
    codes = {one["lastState"]["terminated"]["exitCode"] for one in states if one["lastState"]}
    assert codes <= {0, KILLED}, f"containers ended with {codes}"
    return sum(one["restartCount"] for one in states)


def start_anew(bed: Cluster, user: User) -> None:
    """Every process of the driver in its pod, by SIGTERM: a leader gives its Lease back."""
    before = installation.pods(user)
    for pod in before:
        processes.kill(bed, *processes.of_pod(bed, pod, OURS), number=signal.SIGTERM)
    counts = {pod["metadata"]["name"]: restarts(pod) for pod in before}
    until("all are started again", lambda: all(grown(pod, counts) for pod in installation.pods(user)), 60)


def grown(pod: Json, counts: dict[str, int]) -> bool:
    return running(pod) and restarts(pod) > counts[pod["metadata"]["name"]]
