"""The bed as seen from outside of its namespaces: up, down, and doors into it."""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from . import binaries, cgroups, tools
from .faults import BedFault
from .layout import Layout, saved, state_folder
from .node import COVERED
from .supervisor import output_to
from .versions import NEWEST, release

CHECKOUT = Path(__file__).resolve().parents[3]
UP_LIMIT = 180.0
DOWN_LIMIT = 30.0
CLONE_NEWNET = 0x40000000
NEEDED = ("unshare", "nsenter", "ip", "mount", "openssl", "mknod")


@frozen
class Cluster:
    """A bed that is up."""

    layout: Layout
    pid: int
    """Of its first process, as the machine counts."""

    def stop(self, program: str, number: int = signal.SIGTERM) -> str:
        """Stop one program (`kube-apiserver`, `node-1/kubelet` …): how it ended."""
        return str(self._tell(do="stop", name=program, signal=number)["ended"])

    def start(self, program: str) -> None:
        """Start it again."""
        self._tell(do="start", name=program)

    def status(self) -> dict[str, Any]:
        """Process ids of what runs (as the bed counts), and how the others ended."""
        return self._tell(do="status")

    def inside(self, *command: str) -> list[str]:
        """The command, to be run in the bed's network; files are the machine's."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command]

    def on_node(self, number: int, *command: str) -> list[str]:
        """The command, to be run on a node, as its root would."""
        holder = self.status()[f"node-{number}/node"]
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--", "nsenter", f"--target={holder}",
                "--net", "--mount", "--", *command]  # fmt: skip

    def bring_image(self, archive: Path) -> None:
        """Put the archive's images on every node."""
        ctr = self.layout.binaries("ctr")
        for node in self.layout.all_nodes:
            run(self.on_node(node.number, ctr, "--address=/run/containerd/containerd.sock", "-n", "k8s.io", "images", "import",
                             "--local", str(archive)))  # fmt: skip

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and what it starts, is in the bed's network; its files stay the machine's."""
        with open("/proc/thread-self/ns/net") as home, open(f"/proc/{self.pid}/ns/net") as there:
            _set_namespace(there.fileno())
            _left.append(home.fileno())
            try:
                yield
            finally:
                _left.pop()
                _set_namespace(home.fileno())

    def _tell(self, **told: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(self.layout.control))
            with connection.makefile("rw") as line:
                line.write(json.dumps(told) + "\n")
                line.flush()
                answer: dict[str, Any] = json.loads(line.readline())
        if "error" in answer:
            raise BedFault(answer["error"])
        return answer


def missing() -> str:
    """In one line, what this machine lacks for a bed; "" when nothing."""
    if sys.platform != "linux":
        return f"a test bed needs Linux, this is {sys.platform}"
    if os.geteuid() != 0:
        return "a test bed needs root: it makes namespaces, mounts and cgroups"
    programs = [name for name in NEEDED if shutil.which(name) is None]
    if programs:
        return f"a test bed needs {', '.join(programs)}; Debian and Ubuntu: apt-get install util-linux iproute2 openssl"
    if not os.environ.get("NVDRA_CLUSTER_BIN") and shutil.which("go") is None:
        return "a test bed needs Go to build Kubernetes with (1.26 or newer), or NVDRA_CLUSTER_BIN"
    return ""


def up(version: str = NEWEST, name: str = "bed", nodes: int = 2) -> Cluster:
    """Bring a bed up, after having made whatever was never made on this machine."""
    from tests.cluster.image import archive

    if lacking := missing():
        raise BedFault(lacking)
    if running(name) is not None:
        raise BedFault(f"the bed {name!r} is up already: `make cluster-down` ends it")
    down(name)
    wanted = release(version)
    layout = Layout(wanted, binaries.ready(wanted), name, nodes, archive())
    _check_places(layout)
    layout.logs.mkdir(parents=True)
    layout.save()
    begun = time.monotonic()
    cluster = Cluster(layout, _outer(layout))
    _await_ready(cluster)
    tools.wrappers(layout.root / "bin", cluster.pid, layout.kubeconfig, layout.kubectl_cache)
    binaries.say(f"Kubernetes {wanted.version} with {nodes} nodes is up after {time.monotonic() - begun:.1f} s")
    return cluster


def running(name: str = "bed") -> Cluster | None:
    """The bed of that name, if it is up."""
    try:
        pid, born = json.loads((state_folder(name) / "pid.json").read_text())
        layout = saved(name)
    except (FileNotFoundError, BedFault):
        return None
    return Cluster(layout, pid) if _born(pid) == born else None


def down(name: str = "bed") -> None:
    """End the bed and all that was in it; harmless when there is none."""
    found = running(name)
    if found is not None:
        os.kill(found.pid, signal.SIGKILL)  # the kernel ends the rest of its process namespace, and with it the others
        _until(lambda: _born(found.pid) is None, "the bed's first process ended")
    left: list[Path] = []

    def removed() -> bool:
        left[:] = cgroups.remove(f"nvdra-{name}")
        return not left

    _until(removed, "the cgroups of the nodes are empty")
    root = state_folder(name)
    if (root / "logs").is_dir():
        kept = binaries.cache() / "logs" / name
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(root / "logs", kept)
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(root / "audit.log", kept)
    shutil.rmtree(root, ignore_errors=True)
    if root.exists():
        raise BedFault(f"{root} could not be removed")


def _check_places(layout: Layout) -> None:
    for place in (layout.root, layout.binaries.kubernetes, layout.binaries.runtime, layout.archive):
        if any(place.resolve().is_relative_to(folder) for folder in COVERED):
            raise BedFault(
                f"{place} cannot be seen on the nodes, which have {', '.join(COVERED)} of their own; set XDG_CACHE_HOME"
            )


def _outer(layout: Layout) -> int:
    """Start the bed's first process, which is not to end with us; its id as the machine counts."""
    namespaces = ["--net", "--mount", "--pid", "--fork", "--mount-proc"]
    command = ["unshare", *namespaces, sys.executable, "-m", "tests.cluster.bed.inside", layout.name]
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    log = layout.logs / "bed.log"
    outer = os.posix_spawnp("unshare", command, environ, file_actions=output_to(log), setsid=True)
    children = Path(f"/proc/{outer}/task/{outer}/children")
    _until(lambda: _born(outer) is None or bool(children.read_text().split()), "unshare started the bed")
    if _born(outer) is None:
        raise BedFault(f"unshare failed: {log.read_text()}")
    pid = int(children.read_text().split()[0])
    (layout.root / "pid.json").write_text(json.dumps([pid, _born(pid)]))
    return pid


def _await_ready(cluster: Cluster) -> None:
    root = cluster.layout.root
    end = time.monotonic() + UP_LIMIT
    while not (root / "ready").exists() or not _is_socket(cluster.layout.control):
        if (root / "failed").exists():
            raise BedFault(f"the bed did not come up: {(root / 'failed').read_text()}")
        if _born(cluster.pid) is None or time.monotonic() > end:
            raise BedFault(f"the bed did not come up:\n{(cluster.layout.logs / 'bed.log').read_text()[-3000:]}")
        time.sleep(0.05)


def _is_socket(path: Path) -> bool:
    return path.exists() and stat.S_ISSOCK(path.stat().st_mode)


def _until(done: Any, what: str) -> None:
    end = time.monotonic() + DOWN_LIMIT
    while not done():
        if time.monotonic() > end:
            raise BedFault(f"not within {DOWN_LIMIT:.0f} s: {what}")
        time.sleep(0.05)


def _born(pid: int) -> str | None:
    """When that process was started, so that another with its number is not mistaken for it; None: it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


_left: list[int] = []
"""The networks out of which `entered` led, the machine's first."""


@contextmanager
def outside() -> Iterator[None]:
    """Back in the machine's network for a while, from wherever we are: the bed's leads nowhere."""
    if not _left:
        yield
        return
    with open("/proc/thread-self/ns/net") as here:
        _set_namespace(_left[0])
        try:
            yield
        finally:
            _set_namespace(here.fileno())


def _set_namespace(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise BedFault(f"cannot enter the network namespace: {os.strerror(ctypes.get_errno())}")


def run(command: Sequence[str]) -> str:
    """What a command prints; its errors with the fault when it fails."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise BedFault(f"{' '.join(command)}: exit code {ran.returncode}: {ran.stderr.strip() or ran.stdout.strip()}")
    return ran.stdout
