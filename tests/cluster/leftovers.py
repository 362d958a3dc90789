"""What a ComputeDomain may leave nowhere once it is gone: neither in the API nor on a node."""

import subprocess
import time

from nvdra.api import names
from tests.cluster.bed.cluster import Cluster
from tests.cluster.view import User

PLUGIN = f"/var/lib/kubelet/plugins/{names.CD_DRIVER}"
LOOK = f"""
ls /run/cdi
ls -d /dev/nvidia-caps-imex-channels/* 2>/dev/null
ls {PLUGIN}/domains 2>/dev/null
ls {PLUGIN}/claims 2>/dev/null
ps -eo args | grep '[n]vdra.sim.imex'
true
"""


def of_domains(bed: Cluster | None, user: User) -> list[str]:
    """Everything that is there and belongs to some ComputeDomain; without a bed, in the API only."""
    nodes = bed.layout.all_nodes if bed else ()
    return [*in_the_api(user), *(found for node in nodes if bed for found in on_node(bed, node.number))]


def all_gone(bed: Cluster | None, user: User, limit: float = 30.0) -> None:
    """Wait until nothing of any ComputeDomain is left; say what is when it takes too long."""
    end = time.monotonic() + limit
    while left := of_domains(bed, user):
        assert time.monotonic() < end, f"still there after {limit:.0f} s: {left}"
        time.sleep(0.2)


def on_node(bed: Cluster, number: int) -> list[str]:
    """CDI files, device nodes, folders, records and processes on a node."""
    looked = subprocess.run(bed.on_node(number, "sh", "-c", LOOK), capture_output=True, text=True, check=True)
    return [f"node-{number}: {line}" for line in looked.stdout.splitlines()]


def of_claims(bed: Cluster, number: int) -> list[str]:
    """As on_node, without processes: the nodes of a bed see each other's."""
    return [line for line in on_node(bed, number) if "nvdra.sim.imex" not in line]


def in_the_api(user: User) -> list[str]:
    """Objects and labels."""
    found = user.json("get", "computedomains,computedomaincliques,resourceclaims,resourceclaimtemplates", "-A")["items"]
    found += user.json("get", "nodes", "-l", names.DOMAIN_LABEL)["items"]
    found += user.json("get", "pods,daemonsets,networkpolicies", "-A", "-l", names.DOMAIN_LABEL)["items"]
    return [f"{item['kind']} {item['metadata']['name']}" for item in found]


def imex_processes(bed: Cluster) -> list[str]:
    """The process id of every nvidia-imex, as the bed counts."""
    found = subprocess.run(bed.on_node(1, "pgrep", "-f", "nvdra.sim.imex imex"), capture_output=True, text=True).stdout
    return sorted(found.split())
