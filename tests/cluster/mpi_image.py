"""The image of the guide's nvbandwidth example: Debian's Open MPI and sshd, and a stand-in for nvbandwidth.

Two layers above the bed's Debian, each made once: what apt installs, and the program, compiled where gcc does not stay.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .image import SUITE, UNUSED, base_layer, key, layer, run
from .oci import Image, digest_of

NAME = "ghcr.io/nvidia/k8s-samples:nvbandwidth-v0.7-8d103163"
"""As the guide's manifest says it, which is applied as it stands."""
SOURCE = Path(__file__).resolve().parent / "nvbandwidth/nvbandwidth.c"
PACKAGES = ("openmpi-bin", "openssh-server", "openssh-client")
TOOLS = ("gcc", "libc6-dev", "libopenmpi-dev")
COMPILE = "mpicc -O2 -Wall -Wextra -Werror -o /usr/local/bin/nvbandwidth /nvbandwidth.c"
LIBRARIES = "usr/lib/*-linux-gnu"
LEFT_OUT = (
    *(f"{folder}/*" for folder in UNUSED),
    *(f"{LIBRARIES}/{name}" for name in ("libicu*", "libxml2.so*", "libX*", "libxcb*", "libOpenCL*", "hwloc")),
    "usr/share/X11",
    "etc/ssh/ssh_host_*",
    "etc/resolv.conf",
    "var/cache/*",
    "var/lib/dpkg/*-old",
)
"""Docs; plug-ins of hwloc with their libraries, for X displays and GPUs that are not there (41 MB); host keys; traces of the build."""
USER = "mpiuser"
SSHD = f"""# For sshd without root, with the MPI operator's keys.
Port 2222
HostKey /home/{USER}/.ssh/id_rsa
PidFile /home/{USER}/sshd.pid
StrictModes no
"""
SSH = """# Workers are new each time, and the folder of the keys cannot be written to.
Host *
    Port 2222
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
"""
PARAMETERS = "\n# Ranks share cores here: one that waits lets others run.\nmpi_yield_when_idle = 1\n"
MPIRUN = """#!/bin/sh
# Debian's mpirun. It would not bind four ranks a node to cores where there are fewer: here they may share them.
last=
for word do
    shift
    [ "$last $word" = "--bind-to core" ] && word=core:overload-allowed
    last=$word
    set -- "$@" "$word"
done
exec mpirun.openmpi "$@"
"""
FILES = {
    f"home/{USER}/.sshd_config": SSHD,
    "etc/ssh/ssh_config.d/mpi.conf": SSH,
    "usr/local/bin/mpirun": MPIRUN,
}
CHROOT = 'mount -t proc proc "$0/proc"; exec chroot "$0" env PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive sh -ec "$1"'
APT = "apt-get update -q; apt-get install -yq --no-install-recommends"


def images() -> Sequence[Image]:
    """The one image."""
    mpi = mpi_layer()
    return [Image(NAME, [base_layer(), mpi, nvbandwidth_layer(mpi)], command=["bash"])]


def mpi_layer() -> Path:
    """What apt adds to the bed's Debian, without what nobody needs here, and how ssh is to be used."""
    base = base_layer()

    def make(root: Path) -> None:
        _unpack(root, base)
        _in(root, f"{APT} {' '.join(PACKAGES)}; useradd --create-home --uid 1000 --shell /bin/bash {USER}")
        for name, text in FILES.items():
            (root / name).write_text(text)
        (root / "usr/local/bin/mpirun").chmod(0o755)
        with next(root.glob("etc/openmpi/openmpi-mca-params.conf")).open("a") as parameters:
            parameters.write(PARAMETERS)
        for pattern in LEFT_OUT:
            for found in root.glob(pattern):
                shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()
        _without_what_was_unpacked(root)

    told = (APT, *PACKAGES, *LEFT_OUT, *FILES, *FILES.values(), PARAMETERS)
    return layer("mpi", key(*told, digest_of(base)), make)


def nvbandwidth_layer(mpi: Path) -> Path:
    """One program, compiled against the very libraries that it will run with."""

    def make(root: Path) -> None:
        with tempfile.TemporaryDirectory(dir=root.parent) as folder:
            workshop = Path(folder)
            _unpack(workshop, base_layer(), mpi)
            shutil.copyfile(SOURCE, workshop / SOURCE.name)
            _in(workshop, f"{APT} {' '.join(TOOLS)}; {COMPILE}")
            program = root / "usr/local/bin/nvbandwidth"
            program.parent.mkdir(parents=True)
            shutil.copy(workshop / "usr/local/bin/nvbandwidth", program)

    return layer("nvbandwidth", key(SUITE, APT, *TOOLS, COMPILE, SOURCE.read_text(), digest_of(mpi)), make)


def _unpack(root: Path, *layers: Path) -> None:
    """The layers over one another, as a container sees them; /dev/null and randomness, which layers have not."""
    for one in layers:
        run("tar", "--extract", "--file", str(one), "--directory", str(root))
    for name, minor in (("null", "3"), ("urandom", "9")):
        run("mknod", "--mode=666", str(root / "dev" / name), "c", "1", minor)


def _in(root: Path, script: str) -> None:
    """Run a script in that root, with a /proc of its own, which goes with the last process."""
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    run("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", CHROOT, str(root), script)


def _without_what_was_unpacked(root: Path) -> None:
    """Only what came since: all in a layer has time 0."""
    run("find", str(root), "!", "-type", "d", "!", "-newermt", "@0", "-delete")
    run("find", str(root), "-mindepth", "1", "-type", "d", "-empty", "-delete")
