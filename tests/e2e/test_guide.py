"""The user guide's first example, command by command, with what the guide says that each prints."""

import os
import re
import shutil
import subprocess

import pytest

from nvdra.api import names
from tests.cluster.view import until
from tests.e2e.place import GUIDE, OWN, Place

NAME = "imex-channel-injection"
DAEMONS = ("-n", OWN, "-l", names.DOMAIN_LABEL)
ROW = r"{name} +1/1 +Running +0 +\d+s"
LISTING = """\
total 0
drwxr-xr-x 2 root root +60 \\w+ +\\d+ \\d\\d:\\d\\d \\.
drwxr-xr-x \\d+ root root +\\d+ \\w+ +\\d+ \\d\\d:\\d\\d \\.\\.
crw-rw-rw- 1 root root 507, 0 \\w+ +\\d+ \\d\\d:\\d\\d channel0
"""
CLIQUES = r"""(echo -e "NODE\tLABEL\tCLIQUE"; kubectl get nodes -o json | \
  jq -r '.items[] | [.metadata.name, "nvidia.com/gpu.clique", .metadata.labels["nvidia.com/gpu.clique"]] | @tsv') | \
  column -t"""
IMEX_SAYS = (
    "IMEX Log initializing at: ",
    "IMEX version ",
    "Identified this node as ID 0, using bind IP of '",
    "Creating gRPC channels to all peers (nPeers = ",
    "IMEX_WAIT_FOR_QUORUM != FULL, continuing initialization without waiting for connections to all nodes.",
    "Connection established to node 0 with ip address ",
    "GPU event successfully subscribed",
)


@pytest.mark.every_release
def test_the_channel_is_injected_as_the_guide_shows(place: Place) -> None:
    """Apply, get pods, logs, the daemon's pod and log, delete: each prints what the guide shows; then nothing is left."""
    kubectl = place.user.kubectl
    assert kubectl("apply", "-f", GUIDE) == (
        f"computedomain.resource.nvidia.com/{NAME} created\npod/{NAME} created\n"
    )  # fmt: skip
    kubectl("wait", "--for=condition=Ready", f"pod/{NAME}", "--timeout=60s")
    _table(kubectl("get", "pods"), NAME)
    until("the log is whole", lambda: re.fullmatch(LISTING, place.log(NAME)), 10)
    _table(kubectl("get", "pods", *DAEMONS), rf"{NAME}-\w{{5}}-\w{{5}}")
    told = kubectl("logs", *DAEMONS, "--tail=-1")
    assert [line for line in IMEX_SAYS if line not in told] == [], told
    deleted = kubectl("delete", "-f", GUIDE, "--timeout=60s")
    for line in (f'computedomain.resource.nvidia.com "{NAME}" deleted', f'pod "{NAME}" deleted'):
        assert line in deleted
    place.all_gone()


@pytest.mark.every_release
def test_the_domain_is_ready_and_its_node_is_labelled(place: Place) -> None:
    """The ComputeDomain, its conditions and Events say so; node and claim are there for as long as the worker."""
    place.user.kubectl("apply", "-f", GUIDE)
    place.runs(NAME)
    until("the domain is Ready", lambda: place.is_ready(NAME), 10)
    found = place.domain(NAME)
    (member,) = found["status"]["nodes"]
    assert (member["status"], member["index"], member["cliqueID"]) == ("Ready", 0, place.clique(member["name"]))
    conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    assert set(conditions.values()) == {"True"}, conditions
    assert conditions.keys() >= {"Ready", "Formed", "Provisioned", "CliquesAgree", "IndicesAvailable"}
    place.said(NAME, "ComputeDomainReady: ", 10)
    assert place.members(NAME) == [member["name"]]
    row = place.user.kubectl("get", "computedomain", NAME).splitlines()[1].split()
    assert row[:4] == [NAME, "Ready", "1/1", "1"]


def test_all_components_are_ready(place: Place) -> None:
    """`kubectl get pod -n nvidia-dra-driver-gpu`: a controller, and a plugin for each node with GPUs, all ready."""
    head, *rows = place.user.kubectl("get", "pod", "-n", OWN).splitlines()
    assert head.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert len(rows) == 1 + len(place.nodes), rows
    for part, number in (("controller", 1), ("kubelet-plugin", len(place.nodes))):
        shown = [row for row in rows if re.match(rf"nvidia-dra-driver-\S*{part}\S* +1/1 +Running +", row)]
        assert len(shown) == number, rows


@pytest.mark.skipif(
    shutil.which("jq") is None or shutil.which("column") is None, reason="the guide's line has jq in it"
)
def test_every_gpu_node_shows_its_clique(place: Place) -> None:
    """The guide's line with jq prints node, label and clique; both nodes are in the same one."""
    path = f"{place.user.kubectl_program.parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(place.user.kubeconfig)}
    ran = subprocess.run(["bash", "-c", CLIQUES], env=environment, capture_output=True, text=True, check=True)
    head, *rows = (line.split() for line in ran.stdout.splitlines())
    assert head == ["NODE", "LABEL", "CLIQUE"]
    shown = {node: clique for node, label, clique in (row for row in rows if len(row) == 3)}
    assert set(shown) == set(place.nodes)
    assert len(set(shown.values())) == 1
    assert re.fullmatch(r"[0-9a-f-]{36}\.\d+", shown["node-1"])


def test_each_node_publishes_its_devices(place: Place) -> None:
    """`kubectl get resourceslice` shows our driver once a node, with the node's name as its pool."""
    head, *rows = place.user.kubectl("get", "resourceslice").splitlines()
    assert head.split() == ["NAME", "NODE", "DRIVER", "POOL", "AGE"]
    assert sorted(tuple(row.split()[1:4]) for row in rows) == [(node, names.CD_DRIVER, node) for node in place.nodes]


def _table(shown: str, name: str) -> None:
    """A table of pods with one row."""
    head, row = shown.splitlines()
    assert head.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert re.fullmatch(ROW.format(name=name), row), row
