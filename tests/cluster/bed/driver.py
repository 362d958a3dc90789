"""The NVIDIA driver of a node as its driver container brings it: a mount that goes, and comes back with another version."""

from attrs import evolve

from . import hardware
from .cluster import Cluster, run
from .layout import Node

MOUNTED = "/run/nvidia/driver"


def unload(bed: Cluster, number: int) -> None:
    """As the driver container ends: its root is no longer mounted. Lazily, for running containers hold files of it."""
    run(bed.on_node(number, "umount", "--lazy", MOUNTED))


def load(bed: Cluster, number: int, version: str = hardware.DRIVER) -> Node:
    """As the next one starts: another root, with that version in it and nothing of the one before."""
    node = bed.layout.node(number)
    if version != hardware.DRIVER:
        node = evolve(node, root=node.root / f"reloaded-{version}")
        hardware.install(node, version)
    run(bed.on_node(number, "mount", "--rbind", str(node.driver), MOUNTED))
    return node
