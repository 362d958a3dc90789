"""The bed itself."""

import subprocess
from pathlib import Path

import pytest

from tests.cluster.bed import hardware
from tests.cluster.bed.cluster import Cluster
from tests.cluster.view import User

pytestmark = pytest.mark.cluster


def test_two_nodes_are_ready_with_their_clique(bed: Cluster, user: User) -> None:
    """From nothing, two nodes are Ready, of the release that was asked for, with the labels and GPUs that the guide expects."""
    nodes = user.json("get", "nodes")["items"]
    assert [node["metadata"]["name"] for node in nodes] == ["node-1", "node-2"]
    for node in nodes:
        ready = [c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready"]
        assert ready == ["True"]
        assert node["status"]["nodeInfo"]["kubeletVersion"] == f"v{bed.layout.release.version}"
        assert node["metadata"]["labels"]["nvidia.com/gpu.clique"].endswith(".32766")
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == str(hardware.GPUS)
    roles = ["node-role.kubernetes.io/control-plane" in node["metadata"]["labels"] for node in nodes]
    assert roles == [True, False]


def test_nodes_do_not_share_their_folders(bed: Cluster) -> None:
    """What one node puts into /dev, /run/cdi or the kubelet's folder is not on the other, nor on the machine."""
    for place in ("/dev", "/run/cdi", "/var/lib/kubelet"):
        subprocess.run(bed.on_node(1, "touch", f"{place}/only-here"), check=True)
        there = subprocess.run(bed.on_node(2, "ls", place), check=True, capture_output=True, text=True).stdout
        assert "only-here" not in there
        assert not Path(place, "only-here").exists()
        subprocess.run(bed.on_node(1, "rm", f"{place}/only-here"), check=True)
