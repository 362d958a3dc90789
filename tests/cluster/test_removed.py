"""Objects that are taken away under a running workload, in order or by force: what depended on them goes, or they come back."""

import pytest

from nvdra.api import names
from tests.cluster import installation, leftovers
from tests.cluster.bed.cluster import Cluster
from tests.cluster.life import both_run, labelled, ready_daemons, rosters, state, workers_run
from tests.cluster.view import Json, User, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("driver")]
CONTROLLERS = f"{installation.COMPONENT}=controller"
NO_FINALIZERS = '{"metadata": {"finalizers": null}}'


def test_a_domain_deleted_under_its_workload(bed: Cluster, user: User, pair: str) -> None:
    """The domain goes at once with its daemons; the workers lose them and say so; nothing is left after the workers."""
    both_run(user, pair)
    user.kubectl("delete", "computedomain", pair, "--timeout=60s")
    until("no daemon is left", lambda: not leftovers.imex_processes(bed), 60)


def test_a_domain_taken_away_by_force(bed: Cluster, user: User, pair: str) -> None:
    """Its finalizers were patched away while no controller ran: the next one withdraws what is left of it."""
    both_run(user, pair)
    scale(user, 0)
    user.kubectl("wait", "-n", names.DRIVER_NAMESPACE, "--for=delete", "pod", "-l", CONTROLLERS, "--timeout=60s")
    user.kubectl("patch", "computedomain", pair, "--type=merge", "-p", NO_FINALIZERS)
    user.kubectl("delete", "computedomain", pair, "--timeout=30s")
    scale(user, 1)
    until("no daemon is left", lambda: not leftovers.imex_processes(bed), 60)
    until("no node is labelled", lambda: not labelled(user), 30)
    until("its template is gone", lambda: not user.json("get", "resourceclaimtemplates", "-A")["items"], 30)
    until("its roster is gone", lambda: not rosters(user), 30)


def test_a_roster_deleted_by_hand_is_written_again(bed: Cluster, user: User, pair: str) -> None:
    """With the same nodes at the same indices: no nvidia-imex restarts, and no worker notices."""
    both_run(user, pair)
    until("the domain is Ready", lambda: state(user, pair) == "Ready", 30)
    (before,) = rosters(user)
    running = leftovers.imex_processes(bed)
    name = before["metadata"]["name"]
    user.kubectl("delete", "computedomainclique", "-n", names.DRIVER_NAMESPACE, name, "--wait=false")
    user.kubectl(
        "patch", "computedomainclique", "-n", names.DRIVER_NAMESPACE, name, "--type=merge", "-p", NO_FINALIZERS
    )
    until(
        "it was written again", lambda: [r["metadata"]["uid"] for r in rosters(user)] != [before["metadata"]["uid"]], 30
    )
    until("it lists the same", lambda: places(rosters(user)) == places([before]), 30)
    until("the domain is Ready", lambda: state(user, pair) == "Ready", 30)
    assert leftovers.imex_processes(bed) == running
    assert ready_daemons(user) == 2
    assert workers_run(user, pair)


def scale(user: User, controllers: int) -> None:
    """So many controllers, until the next upgrade."""
    user.kubectl("scale", "deployment", "-n", names.DRIVER_NAMESPACE, "-l", CONTROLLERS, f"--replicas={controllers}")


def places(found: list[Json]) -> dict[str, int]:
    """Node to index."""
    return {daemon["nodeName"]: daemon["index"] for roster in found for daemon in roster["daemons"]}
