"""A release of the chart and the next one, there and back, under a running workload; and its end."""

import json
import subprocess
from pathlib import Path

import pytest

from nvdra.api import names
from tests.cluster import audit, installation, leftovers
from tests.cluster.bed.cluster import Cluster
from tests.cluster.installation import RELEASE
from tests.cluster.life import both_run, workers_run
from tests.cluster.view import User, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("driver")]
IN_RELEASE = ("-n", names.DRIVER_NAMESPACE)
OF_THE_RELEASE = (
    "deployments,daemonsets,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,deviceclasses"
)
WRITTEN_LATER = {"writtenBy": "a later nvdra", "later": {"a": 1}}


def test_an_upgrade_and_a_rollback_leave_every_imex_alone(bed: Cluster, user: User, pair: str) -> None:
    """Controller and plugins are replaced twice; nvidia-imex keeps its process, and what the newer release wrote is read."""
    both_run(user, pair)
    before = leftovers.imex_processes(bed)
    build = installation.build(user)
    installation.by_helm(user, f"upgrade-{pair}")
    until("the new driver is ready", lambda: installation.marked(user, f"upgrade-{pair}"), 90)
    assert leftovers.imex_processes(bed) == before
    assert workers_run(user, pair)

    written = [path for node in bed.layout.all_nodes for path in records(node.root)]
    assert len(written) == 4  # a worker's and a daemon's claim on each of two nodes
    for path in written:
        path.write_text(json.dumps({**json.loads(path.read_text()), **WRITTEN_LATER}))
    user.helm("rollback", RELEASE, *IN_RELEASE, "--timeout=90s")
    until("the driver of before is ready", lambda: installation.marked(user, build), 90)
    assert leftovers.imex_processes(bed) == before
    assert workers_run(user, pair)
    kept = [json.loads(path.read_text()) for path in written]
    assert all(WRITTEN_LATER.items() <= record.items() for record in kept)


@pytest.mark.runs_last(1)
def test_an_uninstall_is_refused_while_the_driver_is_in_use(bed: Cluster, user: User, pair: str) -> None:
    """It names the domain and the prepared claims, and all goes on; when they are gone the release goes, with all it made."""
    both_run(user, pair)
    refused = uninstall(user)
    assert refused.returncode != 0
    said = refused.stdout + refused.stderr
    assert f"default/{pair} (Ready, nodes ready 2/2)" in said, said
    assert f"(for {pair}-1)" in said, said
    assert installation.ready(user)
    assert workers_run(user, pair)

    user.kubectl("delete", "pods", f"{pair}-1", f"{pair}-2", "--timeout=90s")
    user.kubectl("delete", "computedomain", pair, "--timeout=90s")
    leftovers.all_gone(bed, user)
    begun = audit.now()
    done = uninstall(user)
    assert done.returncode == 0, done.stderr
    until("its pods are gone", lambda: not installation.pods(user), 60)
    audit.WITHOUT_RULES.append((begun, audit.now()))
    until("its slices are gone", lambda: not user.json("get", "resourceslices")["items"], 60)
    found = user.json("get", OF_THE_RELEASE, "-A", "-l", f"app.kubernetes.io/instance={RELEASE}")["items"]
    assert [f"{one['kind']} {one['metadata']['name']}" for one in found] == []
    assert user.kubectl("get", "crd", "computedomains.resource.nvidia.com", "-o", "name"), "CRDs stay, as Helm has it"


def uninstall(user: User) -> subprocess.CompletedProcess[str]:
    return user.attempt(user.helm_program, "uninstall", RELEASE, *IN_RELEASE, "--timeout=90s")


def records(node: Path) -> list[Path]:
    return sorted((node / "kubelet/plugins" / names.CD_DRIVER / "claims").glob("*.json"))
