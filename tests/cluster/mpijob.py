"""The MPI operator of the bed: the rack's own, which makes an MPIJob's workers and launcher, with ssh keys and host names.

`python -m tests.cluster.mpijob --name BED` installs it on a bed, for the guide's nvbandwidth example by hand, and runs it
until it is interrupted.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.kube.config import load
from nvdra.sim.kube import kinds
from nvdra.sim.kube.controllers import mpimanifests
from nvdra.sim.kube.controllers.mpijob import MpiJobs
from nvdra.sim.kube.controllers.mpimanifests import SshKey
from nvdra.sim.kube.mirror import Mirror

from . import mpi_image
from .bed import cluster, tools
from .bed.binaries import say
from .bed.cluster import Cluster
from .bed.faults import BedFault
from .image import archive
from .view import User

CRD = "mpijobs.kubeflow.org"


def install(bed: Cluster, user: User) -> None:
    """What is there before the operator works: the image, and its CRD."""
    bed.bring_image(archive(mpi_image.images, "nvbandwidth"))
    user.apply(mpimanifests.crd())
    user.kubectl("wait", "--for=condition=Established", f"crd/{CRD}", "--timeout=30s")


def uninstall(user: User) -> None:
    """Undo it; the image stays."""
    user.kubectl("delete", "crd", CRD, "--ignore-not-found", "--timeout=60s")


async def operate(kubeconfig: Path) -> None:
    """Be the operator until cancelled."""
    client = KubeClient(load(str(kubeconfig)), "mpi-operator")
    mirrors = [Mirror(client, kind) for kind in (kinds.MPI_JOBS, kinds.JOBS, kinds.PODS)]
    try:
        async with asyncio.TaskGroup() as group:
            for mirror in mirrors:
                group.create_task(mirror.run())
            for mirror in mirrors:
                await mirror.synced.wait()
            mpi_jobs, jobs, pods = mirrors
            group.create_task(MpiJobs(client, mpi_jobs, jobs, pods, new_key).loop.run())
    finally:
        await client.close()


def new_key() -> SshKey:
    """A pair of the operator's kind: ECDSA over P-521."""
    if shutil.which("ssh-keygen") is None:
        raise BedFault("no ssh-keygen for the MPI job's keys; Debian and Ubuntu: apt-get install openssh-client")
    with tempfile.TemporaryDirectory() as folder:
        private = Path(folder) / "id"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ecdsa", "-b", "521", "-m", "PEM", "-N", "", "-f", str(private)], check=True
        )
        return SshKey(private.read_text(), private.with_suffix(".pub").read_text())


def main(arguments: list[str]) -> int:
    """Operate on a bed that is up."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.mpijob", description=__doc__)
    parser.add_argument("--name", default="bed")
    parser.add_argument("--installed", action="store_true", help="image and CRD are there already")
    options = parser.parse_args(arguments)
    bed = cluster.running(options.name)
    if bed is None:
        say(f"no bed {options.name!r} is up: `make cluster` brings one up")
        return 1
    programs = tools.folder()
    with bed.entered():
        if not options.installed:
            install(bed, User(programs / "kubectl", programs / "helm", bed.layout.kubeconfig))
        say("the MPI operator works; interrupt it to end it")
        asyncio.run(operate(bed.layout.kubeconfig))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
