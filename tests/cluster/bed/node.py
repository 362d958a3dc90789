"""One node: its mount namespace, containerd with CDI, and a kubelet, all with the paths of a real node."""

import json
import subprocess
import uuid

from .layout import API_SERVICE, Layout, Node

TUNED = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
"""The kubelet sets these for the whole machine: it is shown files that already say so."""
DEVICES = {
    "null": "c 1 3", "zero": "c 1 5", "full": "c 1 7", "random": "c 1 8", "urandom": "c 1 9", "kmsg": "c 1 11", "tty": "c 5 0",
}  # fmt: skip
COVERED = ("/var/lib", "/var/log", "/run", "/dev")
"""Folders of the machine that a node has anew: nothing made in them stays, and no node sees another's devices."""
OWN = {"kubelet": "/var/lib/kubelet", "containerd": "/var/lib/containerd", "cni": "/var/lib/cni", "pods": "/var/log/pods",
       "containers": "/var/log/containers"}  # fmt: skip
"""Folders of the node that outlive a reboot; /run and /dev do not."""

CONTAINERD = """version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"

[plugins."io.containerd.cri.v1.runtime"]
  cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]
  restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{programs}"]
  conf_dir = "{root}/cni.d"
  use_internal_loopback = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  base_runtime_spec = "{root}/runtime.json"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "{runc}"
  SystemdCgroup = false
"""
BOOT_ID = "/proc/sys/kernel/random/boot_id"
OWN_BOOT = """#!/bin/sh
# Run by runc before a container starts: its /proc is new, and would have the machine's boot id instead of the node's.
bundle=$(sed -n 's/.*"bundle":"\\([^"]*\\)".*/\\1/p')
if [ -x {killing}/nvdra ] && [ -x "$bundle/rootfs/usr/local/bin/nvdra" ]; then  # a test kills the driver (killing.py)
  mount --bind {killing} "$bundle/rootfs/mnt"
  mount --bind {killing}/nvdra "$bundle/rootfs/usr/local/bin/nvdra"
fi
exec mount --bind {file} "$bundle/rootfs{boot_id}"
"""


def files(layout: Layout, node: Node, pause: str) -> None:
    """Configuration of containerd, CNI and the kubelet."""
    for name in (*OWN, "cni.d", "tuned"):
        (node.root / name).mkdir(parents=True, exist_ok=True)
    for name, value in TUNED.items():
        (node.root / "tuned" / name.replace("/", ".")).write_text(f"{value}\n")
    (node.root / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    binaries = layout.binaries
    text = CONTAINERD.format(pause=pause, root=node.root, programs=binaries.runtime, runc=binaries("runc"))
    (node.root / "containerd.toml").write_text(text)
    (node.root / "cni.d/10-bed.conflist").write_text(json.dumps(_cni(node)))
    (node.root / "kubelet.json").write_text(json.dumps(_kubelet(layout, node)))
    (node.root / "mounts.sh").write_text(mounts(node))
    boot_anew(node)
    own_boot = node.root / "own-boot.sh"
    own_boot.write_text(OWN_BOOT.format(file=node.boot_id, boot_id=BOOT_ID, killing=layout.killing))
    (node.root / "runtime.json").write_text(json.dumps(_runtime(binaries("ctr"), str(own_boot))))


def boot_anew(node: Node) -> None:
    """What is started on the node from now on lives in a new boot."""
    node.boot_id.write_text(f"{uuid.uuid4()}\n")


def mounts(node: Node) -> str:
    """What makes a mount namespace look like a node of its own; then it is held until the node goes down."""
    lines = ["set -e", "mount --make-rprivate /"]
    lines += [f"mount -t tmpfs -o mode=755 none {folder}" for folder in COVERED]
    lines += [f"mkdir -p {target} && mount --bind {node.root}/{name} {target}" for name, target in OWN.items()]
    lines += [f"mount --bind {node.root}/tuned/{name.replace('/', '.')} /proc/sys/{name}" for name in TUNED]
    lines += [
        f"mount --bind {node.boot_id} {BOOT_ID}",
        "mkdir -p /run/netns /run/cdi /run/nvidia/driver /run/containerd /run/lock",
        f"mount --rbind {node.driver} /run/nvidia/driver",
        *(f"mknod -m 666 /dev/{name} {number}" for name, number in DEVICES.items()),
        "mkdir /dev/pts /dev/shm /dev/mqueue && mount -t tmpfs -o mode=1777 none /dev/shm",
        "mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 none /dev/pts && ln -s pts/ptmx /dev/ptmx",
        "mount -t mqueue none /dev/mqueue",
        "ln -s /proc/self/fd /dev/fd && ln -s fd/0 /dev/stdin && ln -s fd/1 /dev/stdout && ln -s fd/2 /dev/stderr",
        "mount --make-rshared /",
        f"touch {node.root}/mounted",
        "exec sleep infinity",
    ]
    return "\n".join(lines) + "\n"


def network(node: Node) -> list[str]:
    """The node's own network: one leg on the bridge, a way back to its pods."""
    return [
        f"ip netns add {node.name}",
        f"ip link add {node.name} type veth peer name eth0 netns {node.name}",
        f"ip link set {node.name} master bed0 up",
        f"ip -n {node.name} link set lo up",
        f"ip -n {node.name} address add {node.address}/24 dev eth0",
        f"ip -n {node.name} link set eth0 up",
        f"ip -n {node.name} route add default via 10.88.0.1",
        f"ip route add {node.pods} via {node.address}",
    ]


def holder(node: Node) -> list[str]:
    """The process that holds the node's mount namespace."""
    enter = ["nsenter", f"--net=/run/netns/{node.name}", "unshare", "--mount", "--propagation", "private"]
    return [*enter, "sh", f"{node.root}/mounts.sh"]


def inside(pid: int) -> list[str]:
    """Before a command that is to run on the node whose holder has that process id."""
    return ["nsenter", "--target", str(pid), "--net", "--mount"]


def containerd(layout: Layout, node: Node) -> list[str]:
    """Containerd, with the programs of the bed first in its PATH, where it looks for its shim."""
    path = f"PATH={layout.binaries.runtime}:/usr/sbin:/usr/bin:/sbin:/bin"
    return ["env", path, layout.binaries("containerd"), "--config", f"{node.root}/containerd.toml"]


def kubelet(layout: Layout, node: Node) -> list[str]:
    """With the labels that GPU Feature Discovery sets."""
    labels = ["nvidia.com/gpu.present=true", *([f"nvidia.com/gpu.clique={node.clique}"] if node.clique else [])]
    return [
        layout.binaries("kubelet"),
        f"--config={node.root}/kubelet.json",
        f"--kubeconfig={layout.kubeconfig_of(node.name)}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--node-labels={','.join(labels)}",
    ]


def import_images(layout: Layout) -> list[str]:
    """The command that puts the archive's images into the node's containerd."""
    command = [layout.binaries("ctr"), "--address=/run/containerd/containerd.sock", "--namespace=k8s.io"]
    return [*command, "images", "import", "--local", str(layout.archive)]


def _runtime(ctr: str, hook: str) -> dict[str, object]:
    """What containerd begins every container's specification with: its own default, and our hook."""
    made = subprocess.run([ctr, "oci", "spec"], check=True, capture_output=True, text=True).stdout
    spec: dict[str, object] = json.loads(made)
    return {**spec, "hooks": {"createContainer": [{"path": "/bin/sh", "args": ["sh", hook]}]}}


def _cni(node: Node) -> dict[str, object]:
    ranges = [[{"subnet": node.pods}]]
    ipam = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/var/lib/cni"}
    return {"cniVersion": "1.0.0", "name": "bed", "plugins": [{"type": "ptp", "ipam": ipam, "mtu": 1500}]}


def _kubelet(layout: Layout, node: Node) -> dict[str, object]:
    gates = {name: value == "true" for name, value in (gate.split("=") for gate in layout.release.feature_gates)}
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}/{node.name}",
        "clusterDNS": [API_SERVICE],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "featureGates": gates,
        "imageGCHighThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "10s",
        "registerNode": True,
        "volumePluginDir": f"{node.root}/volume-plugins",
        "resolvConf": f"{node.root}/resolv.conf",
    }
