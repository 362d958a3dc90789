"""The image of nvdra without Docker and without a registry: Debian's Python, our dependencies, our wheel.

`python -m tests.cluster.image [FILE]` writes an OCI archive and prints where; `Dockerfile` builds the same for everyone
else. Each layer is made once and kept in the cache under a name made of all that it depends on.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import nvdra

from .bed.binaries import cache, say
from .bed.cluster import outside
from .bed.faults import BedFault
from .oci import Image, digest_of, write_archive

CHECKOUT = Path(__file__).resolve().parent.parent.parent
NAME = f"localhost/nvdra:{nvdra.__version__}"
WORKLOAD = "docker.io/library/ubuntu:22.04"
"""The name that the user guide's pod asks for; what it needs of it is bash, ls, sleep and trap."""
PAUSE = "localhost/pause:bed"
SUITE = "bookworm"
PYTHON = "3.11"
SITE = f"usr/local/lib/python{PYTHON}/dist-packages"
NOT_IN_CLUSTERS = ("kubernetes",)
"""Needed for kubeconfigs that run programs or ask clouds for tokens; a pod has its service account (126 MB saved)."""
UNUSED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/lib/apt/lists",
    "var/cache/apt",
    "var/log",
)
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
MODULE, _, FUNCTION = PROJECT["scripts"]["nvdra"].partition(":")
LAUNCHER = f"#!/usr/bin/python3\nfrom {MODULE} import {FUNCTION}\n\n{FUNCTION}()\n"
"""pip's own would import more than it needs."""
SOURCES = ("nvdra", "statecharts", "chart/crds", "examples", "pyproject.toml", "README.md", "LICENSE")


def archive(images: Callable[[], Sequence[Image]] | None = None, kind: str = "bed") -> Path:
    """The archive with nvdra, the workload's image and pause, or with others; made now if this content never was."""
    folder = cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (images or bed_images)()
    made = folder / f"{kind}-{key(*(f'{image}' for image in wanted))}.tar"
    if not made.exists():
        write_archive(made, wanted)
        _keep_newest(folder, f"{kind}-*.tar", 2)
    return made


def bed_images() -> Sequence[Image]:
    """Three images that share their lowest layer."""
    base = base_layer()
    return (
        nvdra_image(),
        Image(WORKLOAD, [base], command=["bash"]),
        Image(PAUSE, [base], command=["/bin/sleep", "infinity"]),
    )


def nvdra_image() -> Image:
    """The driver: one image for controller, plugin and daemon."""
    return Image(NAME, [base_layer(), dependencies_layer(), wheel_layer()], command=["nvdra"])


def base_layer() -> Path:
    """Debian, as small as has a whole Python (python3-minimal has no asyncio)."""

    def make(root: Path) -> None:
        if shutil.which("debootstrap") is None:
            raise BedFault("no debootstrap to make the image of; Debian and Ubuntu: apt-get install debootstrap")
        run("debootstrap", "--variant=minbase", "--include=python3,ca-certificates", SUITE, str(root))
        for folder in UNUSED:
            shutil.rmtree(root / folder, ignore_errors=True)
            (root / folder).mkdir()
        _compile(root, root / f"usr/lib/python{PYTHON}")

    return layer("debian", key(SUITE, platform.machine(), *UNUSED), make)


def dependencies_layer() -> Path:
    """What pyproject.toml asks for to run, in the versions of constraints.txt."""
    wanted = [line for line in PROJECT["dependencies"] if not line.startswith(NOT_IN_CLUSTERS)]
    constraints = CHECKOUT / "constraints.txt"

    def make(root: Path) -> None:
        _pip("install", "--target", str(root / SITE), "--no-compile", "-c", str(constraints),
             f"--python-version={PYTHON}", "--only-binary=:all:", "--implementation=cp", *wanted)  # fmt: skip
        shutil.rmtree(root / SITE / "bin", ignore_errors=True)
        _compile(root, root / SITE)

    return layer("dependencies", key(PYTHON, constraints.read_text(), *wanted, digest_of(base_layer())), make)


def wheel_layer() -> Path:
    """Our own code, from a wheel of the checkout as it is now."""
    files = [file for name in SOURCES for file in _files(CHECKOUT / name)]

    def make(root: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, str(CHECKOUT))
            wheel = next(Path(folder).glob("nvdra-*.whl"))
            _pip("install", "--target", str(root / SITE), "--no-compile", "--no-deps", str(wheel))
        shutil.rmtree(root / SITE / "bin", ignore_errors=True)
        _compile(root, root / SITE)
        program = root / "usr/local/bin/nvdra"
        program.parent.mkdir(parents=True)
        program.write_text(LAUNCHER)
        program.chmod(0o755)

    return layer("nvdra", key(LAUNCHER, *(f"{file} {digest_of(file)}" for file in files)), make)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def layer(name: str, content: str, make: Callable[[Path], None]) -> Path:
    """The layer's tar file, from the cache or made now: same content, same bytes (no times, no owners, sorted)."""
    layers = cache() / "layers"
    made = layers / f"{name}-{content}.tar"
    if made.exists():
        return made
    layers.mkdir(parents=True, exist_ok=True)
    say(f"making image layer {made.name}")
    with tempfile.TemporaryDirectory(dir=layers) as folder:
        root, unfinished = Path(folder) / "root", Path(folder) / "layer.tar"
        root.mkdir(mode=0o755)
        with outside():  # packages are fetched
            make(root)
        run("tar", "--create", "--file", str(unfinished), "--sort=name", "--mtime=@0", "--numeric-owner", "--exclude=./dev/*",
            "--directory", str(root), ".")  # fmt: skip
        unfinished.rename(made)
    _keep_newest(layers, f"{name}-*.tar", 3)
    return made


def _keep_newest(folder: Path, pattern: str, count: int) -> None:
    """Every change of the code makes another: the older ones go."""
    for old in sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)[:-count]:
        old.unlink()


def _compile(root: Path, folder: Path) -> None:
    """Bytecode that is never checked against its source: the layer's times are all the same."""
    strip = ("-s", str(root), "-p", "/")
    run(sys.executable if sys.version_info[:2] == (3, 11) else f"python{PYTHON}",
         "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *strip, str(folder))  # fmt: skip


def key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _pip(*arguments: str) -> None:
    run(sys.executable, "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", *arguments[1:])


def run(*command: str) -> None:
    ran = subprocess.run(
        ["nice", "-n", "19", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if ran.returncode:
        raise BedFault(f"{command[0]} failed:\n{ran.stdout[-3000:]}")


def main(arguments: Sequence[str]) -> int:
    """Write the archive of the driver's image alone."""
    made = archive(lambda: [nvdra_image()])
    if arguments:
        shutil.copyfile(made, arguments[0])
    print(arguments[0] if arguments else made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
