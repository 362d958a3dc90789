"""The driver's containers made to end with kill -9 at chosen steps: the hook is nvdra.sim.kill's, as on the rack.

Nothing of the product switches it on, neither image nor chart nor environment: the bed's own container runtime puts
another launcher into containers that start while the folder is there (node.OWN_BOOT).
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from nvdra.sim.kill import Places
from tests.cluster.image import FUNCTION, MODULE

from .cluster import Cluster

SEEN_AT = "/mnt"
"""Where a container has the folder; it is in every image, and empty."""
LEASE = {"LEASE_DURATION": "3", "RENEW_DEADLINE": "2", "RETRY_PERIOD": "0.5"}
"""A killed leader is followed after so long; how long that is in production is not what is tested."""
LAUNCHER = f"""#!/usr/bin/python3
import os
from pathlib import Path

from nvdra.sim.kill import arm

arm(Path("{SEEN_AT}/kill-at"))
os.environ |= {{f"LEADER_ELECTION_{{name}}": value for name, value in {LEASE}.items()}}
from {MODULE} import {FUNCTION}

{FUNCTION}()
"""
AGAIN_AFTER = "1s"


@contextmanager
def armed(bed: Cluster) -> Iterator[Places]:
    """What starts from now on is killed at these places, each once; kubelets start containers again without growing pauses."""
    folder = bed.layout.killing
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)  # the controller is nobody
    (folder / "nvdra").write_text(LAUNCHER)
    (folder / "nvdra").chmod(0o755)
    places = Places(folder / "kill-at")
    places.write([])
    for file in (places.path, places.path.with_suffix(".lock")):
        file.touch()
        file.chmod(0o666)
    try:
        with _quick_restarts(bed):
            yield places
    finally:
        shutil.rmtree(folder)


@contextmanager
def _quick_restarts(bed: Cluster) -> Iterator[None]:
    """Kubelets with that setting, which Kubernetes has since 1.35."""
    files = [node.root / "kubelet.json" for node in bed.layout.all_nodes]
    before = [file.read_text() for file in files]
    for file, text in zip(files, before, strict=True):
        file.write_text(json.dumps(json.loads(text) | {"crashLoopBackOff": {"maxContainerRestartPeriod": AGAIN_AFTER}}))
    _restart_kubelets(bed)
    try:
        yield
    finally:
        for file, text in zip(files, before, strict=True):
            file.write_text(text)
        _restart_kubelets(bed)


def _restart_kubelets(bed: Cluster) -> None:
    for node in bed.layout.all_nodes:
        bed.stop(f"{node.name}/kubelet")
        bed.start(f"{node.name}/kubelet")
