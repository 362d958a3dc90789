"""The processes of pods on the bed, as it counts: one process namespace holds those of both nodes."""

import signal
import subprocess
from typing import Any

from tests.cluster.bed.cluster import Cluster, run

OF_POD = 'grep -ls "{uid}" /proc/[0-9]*/cgroup | cut -d/ -f3'


def of_pod(bed: Cluster, pod: dict[str, Any], words: str) -> list[str]:
    """Ids of those processes of the pod whose command line has these words."""
    in_pod = set(run(bed.on_node(1, "sh", "-c", OF_POD.format(uid=pod["metadata"]["uid"]))).split())
    named = subprocess.run(bed.on_node(1, "pgrep", "-f", words), capture_output=True, text=True, check=False).stdout
    return sorted(in_pod & set(named.split()))


def kill(bed: Cluster, *pids: str, number: int = signal.SIGKILL) -> None:
    """SIGKILL, or another signal."""
    run(bed.on_node(1, "kill", f"-{number}", *pids))
