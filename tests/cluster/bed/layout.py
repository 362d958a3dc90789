"""Where the bed's files are and which addresses it uses: all of its own network, none of the machine's."""

import json
import os
from pathlib import Path

from attrs import field, frozen

from .binaries import Binaries, cache
from .versions import Release

SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
BRIDGE, BRIDGE_ADDRESS = "bed0", "10.88.0.1"
CLIQUE = "5f0cbe6c-e6f9-4a5e-9c0a-6f9a3e5d3c11.32766"
TOKENS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
}
"""Who may say what: the nodes' own tokens are added to these."""


@frozen
class Node:
    """One node of the bed."""

    number: int
    root: Path
    clique: str = CLIQUE

    @property
    def name(self) -> str:
        return f"node-{self.number}"

    @property
    def address(self) -> str:
        return f"10.88.0.{10 + self.number}"

    @property
    def pods(self) -> str:
        """The range of its pods' addresses."""
        return f"10.244.{self.number}.0/24"

    @property
    def driver(self) -> Path:
        """What is /run/nvidia/driver on the node."""
        return self.root / "driver"

    @property
    def boot_id(self) -> Path:
        """The file that is the kernel's boot id on the node, and in its containers."""
        return self.root / "boot_id"

    @property
    def hardware(self) -> Path:
        """The file that the node's stand-in NVML reads."""
        return self.driver / "usr/lib/x86_64-linux-gnu/hardware.conf"


@frozen
class Layout:
    """One bed: its name, release, programs and folder."""

    release: Release
    binaries: Binaries
    name: str = "bed"
    nodes: int = 2
    archive: Path = field(default=Path("/nonexistent"))

    @property
    def root(self) -> Path:
        return state_folder(self.name)

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def audit(self) -> Path:
        """Every request that the API server answered, a line each."""
        return self.root / "audit.log"

    @property
    def control(self) -> Path:
        """The socket on which the bed is told to stop or start one of its processes."""
        return self.root / "control.sock"

    @property
    def kubeconfig(self) -> Path:
        return self.kubeconfig_of("admin")

    @property
    def killing(self) -> Path:
        """The folder that arms the driver's containers, while it is there, to kill themselves at chosen steps."""
        return self.root / "killing"

    @property
    def kubectl_cache(self) -> Path:
        """What kubectl remembers of this bed's API server, and of no other's at the same address."""
        return self.root / "kubectl-cache"

    def kubeconfig_of(self, who: str) -> Path:
        return self.root / "kubeconfigs" / who

    @property
    def cgroup(self) -> str:
        """The one cgroup folder, in each hierarchy, below which all of the nodes' are."""
        return f"nvdra-{self.name}"

    def node(self, number: int) -> Node:
        return Node(number, self.root / f"node-{number}")

    @property
    def all_nodes(self) -> tuple[Node, ...]:
        return tuple(self.node(number) for number in range(1, self.nodes + 1))

    def save(self) -> None:
        """For later commands, which are other processes."""
        told = {
            "release": self.release.version, "kubernetes": str(self.binaries.kubernetes), "runtime": str(self.binaries.runtime),
            "name": self.name, "nodes": self.nodes, "archive": str(self.archive),
        }  # fmt: skip
        (self.root / "layout.json").write_text(json.dumps(told))


def state_folder(name: str) -> Path:
    """A bed's folder. Short, for the sockets in it: a path of a socket has at most 107 bytes."""
    base = os.environ.get("NVDRA_CLUSTER_STATE")
    return (Path(base) if base else cache() / "beds") / name


def saved(name: str = "bed") -> Layout:
    """The layout of a bed that was brought up before."""
    from .faults import BedFault
    from .versions import release

    try:
        told = json.loads((state_folder(name) / "layout.json").read_text())
    except FileNotFoundError as error:
        raise BedFault(f"no bed {name!r} in {state_folder(name)}: bring it up with `make cluster`") from error
    binaries = Binaries(kubernetes=Path(told["kubernetes"]), runtime=Path(told["runtime"]))
    return Layout(release(told["release"]), binaries, told["name"], told["nodes"], Path(told["archive"]))
