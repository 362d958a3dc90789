"""The programs of the bed, built from Go modules into a cache outside the checkout, once per machine and version."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from . import versions
from .faults import BedFault
from .versions import Release

SOURCES = Path(__file__).resolve().parent.parent / "kube"
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
RUNTIME = ("containerd", "containerd-shim-runc-v2", "ctr", "runc", "ptp", "host-local", "etcd")
STAGED = re.compile(r"^\s*(\S+) => \./staging/src/\S+$", re.MULTILINE)


def cache() -> Path:
    """Where everything that is made once per machine is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "nvdra" / "cluster"


def say(text: str) -> None:
    """One progress line: builds take minutes, and silence looks like a hang."""
    print(f"bed: {text}", file=sys.stderr, flush=True)


@frozen
class Binaries:
    """Where the programs of one release are."""

    kubernetes: Path
    runtime: Path

    def __call__(self, name: str) -> str:
        """The path of one program."""
        for folder in (self.kubernetes, self.runtime):
            if (folder / name).exists():
                return str(folder / name)
        raise BedFault(
            f"{name} is neither in {self.kubernetes} nor in {self.runtime}; remove the folder to build it again"
        )


def ready(release: Release) -> Binaries:
    """The programs of a release; built now if they never were."""
    given = os.environ.get("NVDRA_CLUSTER_BIN")
    if given:
        found = Binaries(kubernetes=Path(given), runtime=Path(given))
        for name in (*COMPONENTS, *RUNTIME):
            found(name)
        return found
    kubernetes = cache() / release.version / f"bin-{key(release.version, *sources(SOURCES))}"
    runtime = cache() / "runtime" / f"bin-{key(*versions.RUNTIME, *sources(SOURCES / 'etcd'))}"
    once(runtime, f"containerd {versions.CONTAINERD}, runc, etcd", runtime_programs)
    once(kubernetes, f"Kubernetes {release.version}", lambda folder: kubernetes_programs(release, folder))
    return Binaries(kubernetes=kubernetes, runtime=runtime)


def key(*parts: str) -> str:
    """A short name for all that a build depends on."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def sources(folder: Path) -> list[str]:
    """Our few Go files."""
    return [source.read_text() for source in sorted(folder.glob("*.go"))]


def once(folder: Path, what: str, build: Callable[[Path], None]) -> None:
    """Build into a folder beside, and rename it when all of it is there: a broken build is begun again."""
    if folder.is_dir():
        return
    unfinished = folder.with_name("bin.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    say(f"building {what} into {folder} (minutes, once per machine)")
    begun = time.monotonic()
    build(unfinished)
    unfinished.rename(folder)
    say(f"built {what} in {time.monotonic() - begun:.0f} s")


def kubernetes_programs(release: Release, folder: Path) -> None:
    """The four components as one program with four names."""
    module = module_folder(folder.parent / "module", SOURCES)
    tag = f"v{release.version}"
    go_mod(module, "nvdra.test/kube", {"k8s.io/kubernetes": tag}, staged_as_modules(tag, module))
    ldflags = [
        "-s",
        "-w",
        *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamp(release).items()),
    ]
    go(
        module,
        "build",
        "-mod=mod",
        f"-tags={','.join(release.build_tags)}",
        f"-ldflags={' '.join(ldflags)}",
        "-o",
        f"{folder}/kube",
        ".",
    )
    for name in COMPONENTS:
        (folder / name).symlink_to("kube")


def stamp(release: Release) -> dict[str, str]:
    """What the components say they are: without gitVersion clients refuse to parse the server's version."""
    major, minor, _ = release.version.split(".")
    return {
        "gitVersion": f"v{release.version}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
    }


def staged_as_modules(tag: str, module: Path) -> dict[str, str]:
    """Kubernetes' own go.mod replaces its libraries by folders; each is also served as a module of its own."""
    download = json.loads(go(module, "mod", "download", "-json", f"k8s.io/kubernetes@{tag}", capture=True))
    return dict.fromkeys(STAGED.findall(Path(download["GoMod"]).read_text()), f"v0{tag[2:]}")


def runtime_programs(folder: Path) -> None:
    """etcd, containerd and what it starts."""
    if (
        shutil.which("pkg-config") is None
        or subprocess.run(["pkg-config", "--exists", "libseccomp"], check=False).returncode
    ):
        raise BedFault(
            "runc needs libseccomp's headers; Debian and Ubuntu: apt-get install libseccomp-dev pkg-config gcc"
        )
    etcd = module_folder(folder.parent / "etcd", SOURCES / "etcd")
    go_mod(etcd, "nvdra.test/etcd", {"go.etcd.io/etcd/server/v3": versions.ETCD}, {})
    go(etcd, "build", "-mod=mod", "-ldflags=-s -w", "-o", f"{folder}/etcd", ".")
    containerd = [
        f"github.com/containerd/containerd/v2/cmd/{name}@{versions.CONTAINERD}"
        for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    ]
    cni = [
        f"github.com/containernetworking/plugins/plugins/{name}@{versions.CNI}"
        for name in ("main/ptp", "ipam/host-local")
    ]
    install(folder, containerd)
    install(folder, cni)
    install(
        folder, [f"github.com/opencontainers/runc@{versions.RUNC}"], "-tags=seccomp", environment={"CGO_ENABLED": "1"}
    )


def install(folder: Path, packages: Sequence[str], *flags: str, environment: Mapping[str, str] | None = None) -> None:
    """``go install`` of released modules, without a module of our own."""
    go(
        folder,
        "install",
        "-ldflags=-s -w",
        *flags,
        *packages,
        environment={"GOBIN": str(folder), **(environment or {})},
    )


def module_folder(folder: Path, sources: Path) -> Path:
    """A fresh copy of our few Go files: go.mod and go.sum are written here, never into the checkout."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for source in sources.glob("*.go"):
        shutil.copy(source, folder)
    return folder


def go_mod(folder: Path, name: str, requires: Mapping[str, str], replaces: Mapping[str, str]) -> None:
    """The rest of go.mod, and go.sum, are filled in by the build (checked against Go's checksum database)."""
    lines = [f"module {name}", ""]
    lines += [f"require {path} {tag}" for path, tag in requires.items()]
    lines += [f"replace {path} => {path} {tag}" for path, tag in replaces.items()]
    (folder / "go.mod").write_text("\n".join(lines) + "\n")


def go(folder: Path, *command: str, capture: bool = False, environment: Mapping[str, str] | None = None) -> str:
    """Run the Go toolchain at the lowest priority: the machine has other work to do."""
    if shutil.which("go") is None:
        raise BedFault("no Go toolchain: install Go 1.26 or newer, or name a folder of programs with NVDRA_CLUSTER_BIN")
    environ = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-buildvcs=false",
        "GOTOOLCHAIN": "auto",
        "GOMAXPROCS": "2",
        **(environment or {}),
    }
    ran = subprocess.run(
        ["nice", "-n", "19", "go", *command],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE if capture else sys.stderr,
        check=False,
        text=True,
    )
    if ran.returncode:
        raise BedFault(f"go {command[0]} failed in {folder} (its output is above)")
    return ran.stdout or ""
