"""From nothing to Ready nodes: what runs as the first process in the bed's namespaces."""

import contextlib
import json
import shlex
import ssl
import subprocess
import sys
import time
import traceback
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import cgroups, control_plane, hardware, node
from .faults import BedFault
from .layout import API_SERVICE, BRIDGE, BRIDGE_ADDRESS, Layout, Node, saved
from .supervisor import Supervisor

LIMIT = 120.0
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
"""The guide's nvbandwidth launcher looks for it; its workers want GPUs, which a device plugin would tell of."""
BASICS = ("mount --make-rshared /", "mount -t tmpfs -o mode=755 none /run", "mkdir -p /run/netns", "ip link set lo up",
          f"ip address add {API_SERVICE}/32 dev lo", f"ip link add {BRIDGE} type bridge",
          f"ip address add {BRIDGE_ADDRESS}/24 dev {BRIDGE}", f"ip link set {BRIDGE} up")  # fmt: skip


def main(name: str) -> None:
    """Bring everything up, say so, and serve until killed."""
    layout = saved(name)
    supervisor = Supervisor(layout.logs)
    try:
        bring_up(layout, supervisor)
    except Exception as error:  # noqa: BLE001  # the edge: whoever waits outside is told
        traceback.print_exc()
        (layout.root / "failed").write_text(f"{error}\n")
        sys.exit(1)
    (layout.root / "ready").touch()
    supervisor.serve(layout.control)


def bring_up(layout: Layout, supervisor: Supervisor) -> None:
    """In the order of what waits longest: images are unpacked while the API server starts."""
    for command in BASICS:
        run(command)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
    control_plane.files(layout)
    supervisor.start("etcd", lambda: control_plane.etcd(layout))
    supervisor.start("kube-apiserver", lambda: control_plane.api_server(layout))
    cgroups.make([f"{layout.cgroup}/{one.name}" for one in layout.all_nodes])
    for one in layout.all_nodes:
        node_up(layout, one, supervisor)
    importing = [start_import(layout, one, supervisor) for one in layout.all_nodes]
    until("the API server is ready", lambda: api(layout, "/readyz") is not None, supervisor, "kube-apiserver")
    control_plane.kubeconfigs(layout)
    supervisor.start("kube-controller-manager", lambda: control_plane.controller_manager(layout))
    supervisor.start("kube-scheduler", lambda: control_plane.scheduler(layout))
    for one in layout.all_nodes:
        start_kubelet(layout, one, supervisor)
    for importer in importing:
        if importer.wait():
            raise BedFault(f"images were not imported: see {layout.logs}/images.log")
    for one in layout.all_nodes:
        until("the nodes are Ready", lambda: ready(layout), supervisor, f"{one.name}/kubelet")
    until("the nodes are introduced", lambda: introduced(layout), supervisor, "kube-apiserver")


def node_up(layout: Layout, one: Node, supervisor: Supervisor) -> None:
    """The node's network, its mounts, and its containerd."""
    from tests.cluster.image import PAUSE

    hardware.install(one)
    node.files(layout, one, PAUSE)
    for command in node.network(one):
        run(command)
    run(f"ip netns exec {one.name} sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'")
    (one.root / "mounted").unlink(missing_ok=True)
    supervisor.start(f"{one.name}/node", lambda: node.holder(one))
    until(f"{one.name} has its mounts", (one.root / "mounted").exists, supervisor, f"{one.name}/node")
    holder = supervisor.programs[f"{one.name}/node"]
    supervisor.start(f"{one.name}/containerd", lambda: [*node.inside(holder.pid), *node.containerd(layout, one)])


def start_import(layout: Layout, one: Node, supervisor: Supervisor) -> "subprocess.Popen[bytes]":
    """The images, beside everything else."""
    holder = supervisor.programs[f"{one.name}/node"].pid
    socket = Path(f"/proc/{holder}/root/run/containerd/containerd.sock")
    until(f"containerd of {one.name} answers", socket.exists, supervisor, f"{one.name}/containerd")
    log = (layout.logs / "images.log").open("ab")
    with log:
        return subprocess.Popen([*node.inside(holder), *node.import_images(layout)], stdout=log, stderr=log)


def start_kubelet(layout: Layout, one: Node, supervisor: Supervisor) -> None:
    """Apart from containerd, so that either can be restarted alone."""
    holder = supervisor.programs[f"{one.name}/node"]
    supervisor.start(f"{one.name}/kubelet", lambda: [*node.inside(holder.pid), *node.kubelet(layout, one)])


def until(what: str, done: Callable[[], bool], supervisor: Supervisor, by: str) -> None:
    """Wait for it, as long as the program that it depends on lives."""
    end = time.monotonic() + LIMIT
    while not done():
        if not supervisor.alive(by):
            log = supervisor.logs / f"{by.replace('/', '.')}.log"
            raise BedFault(f"{by} {supervisor.programs[by].ended} before {what}:\n{log.read_text()[-2000:]}")
        if time.monotonic() > end:
            raise BedFault(f"not within {LIMIT:.0f} s: {what}; logs are in {supervisor.logs}")
        time.sleep(0.05)


def ready(layout: Layout) -> bool:
    """Whether every node says so, and pods can be made."""
    nodes = api(layout, "/api/v1/nodes") or {}
    conditions = [c for item in nodes.get("items", ()) for c in item["status"].get("conditions", ())]
    there = sum(c["type"] == "Ready" and c["status"] == "True" for c in conditions) == layout.nodes
    return there and api(layout, "/api/v1/namespaces/default/serviceaccounts/default") is not None


def introduced(layout: Layout) -> bool:
    """Say what no kubelet may or can say of its node: which is the control plane, and that all have GPUs."""
    gpus = {"nvidia.com/gpu": str(hardware.GPUS)}
    role = {"metadata": {"labels": {CONTROL_PLANE: ""}}}
    told = {"status": {"capacity": gpus, "allocatable": gpus}}
    changes = [(layout.node(1).name, role), *((f"{one.name}/status", told) for one in layout.all_nodes)]
    return all(api(layout, f"/api/v1/nodes/{path}", change) is not None for path, change in changes)


def api(layout: Layout, path: str, patch: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """One question to the API server, or one change; None while there is no answer."""
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    token = json.loads((layout.root / "tokens.json").read_text())["admin"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
    request = urllib.request.Request(f"https://{API_SERVICE}{path}", headers=headers)
    if patch is not None:
        request.method, request.data = "PATCH", json.dumps(patch).encode()
    with contextlib.suppress(OSError), urllib.request.urlopen(request, context=unverified, timeout=5) as answer:
        content = answer.read()
        return json.loads(content) if content.startswith(b"{") else {}
    return None


def run(command: str) -> None:
    """One step of the set-up, which must not fail."""
    ran = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
    if ran.returncode:
        raise BedFault(f"{command}: {ran.stderr.strip()}")


if __name__ == "__main__":
    main(sys.argv[1])
