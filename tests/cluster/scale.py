"""`python -m tests.cluster.scale ARGUMENTS`: `nvdra sim scale` on the kube-apiserver of a bed of its own.

Only etcd and kube-apiserver run: nodes are scripted, and every other program of a cluster would act on them.
"""

import subprocess
import sys
from pathlib import Path

from tests.cluster.bed import cluster

NAME = "scale"
IN_THE_WAY = ("kube-controller-manager", "kube-scheduler", "node-1/kubelet", "node-2/kubelet")
MEASURED = ("etcd", "kube-apiserver")


def main(arguments: list[str]) -> int:
    """A bed that is up is used and left up; else one is made, and ended afterwards."""
    bed = cluster.running(NAME)
    made = bed is None
    bed = bed or cluster.up(name=NAME)
    try:
        alive = bed.status()
        for program in IN_THE_WAY:
            if isinstance(alive.get(program), int):
                bed.stop(program)
        processes = [word for name in MEASURED for word in ("--server-pid", str(pid_of(bed, alive[name])))]
        command = [sys.executable, "-m", "nvdra", "sim", "scale", "--kubeconfig", str(bed.layout.kubeconfig)]
        return subprocess.run(bed.inside(*command, *processes, *arguments)).returncode
    finally:
        if made:
            cluster.down(NAME)


def pid_of(bed: cluster.Cluster, counted: int) -> int:
    """As the machine counts, of a process as the bed counts."""
    home = Path(f"/proc/{bed.pid}/ns/pid").readlink()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            said = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
            if (folder / "ns/pid").readlink() == home and said["NSpid"].split()[-1] == str(counted):
                return int(folder.name)
        except OSError:
            continue  # it has ended meanwhile
    raise RuntimeError(f"no process is number {counted} in the bed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
