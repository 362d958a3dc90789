"""The embedded rack as a place: `nvdra sim up`, a process of its own, as a user has it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import define, field

from nvdra.api import names
from nvdra.sim.ground import scratch
from nvdra.sim.nvml import change_fabric, in_clique
from tests.chart import tools
from tests.cluster.view import User, until
from tests.e2e.place import Place

PLUGIN = f"var/lib/kubelet/plugins/{names.CD_DRIVER}"
LOOKED_AT = ("var/run/cdi/*", f"{PLUGIN}/claims/*", f"{PLUGIN}/domains/*", "dev/nvidia-caps-imex-channels/*")


@define(eq=False)
class RackPlace(Place):
    """Everything of it is below one folder."""

    root: Path = field(kw_only=True)

    def files(self, node: str) -> list[str]:
        base = self.root / "n" / node
        return sorted(f"/{path.relative_to(base)}" for pattern in LOOKED_AT for path in base.glob(pattern))

    def imex(self) -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                mine = f"NVDRA_SIM_NODE_ROOT={self.root}/n/".encode() in (process / "environ").read_bytes()
                if mine and words[-3:-2] != [b"ctl"] and b"nvdra.sim.imex" in words and b"imex" in words:
                    found.append(process.name)
        return sorted(found)

    def hardware(self, node: str, clique: str) -> None:
        cluster, _, number = clique.partition(".")
        change_fabric(self.root / "n" / node / "hardware.json", in_clique(cluster, int(number)) if clique else None)

    def label(self, node: str, clique: str) -> None:
        """The rack's own feature discovery reads the hardware, and its label follows."""

    def acts(self, node: str, **control: Any) -> None:
        path = self.root / "n" / node / "imex-control.json"
        aside = path.with_suffix(".new")
        aside.write_text(json.dumps(control))
        aside.rename(path)


@contextlib.contextmanager
def raised() -> Iterator[RackPlace]:
    """A rack of two nodes from `nvdra sim up`, with its driver ready; ended as with Ctrl-C."""
    root = scratch()
    programs = tools.folder("4.3.1")
    log = Path(tempfile.mkdtemp(prefix="nvdra-e2e-")) / "rack.log"
    command = [sys.executable, "-m", "nvdra", "sim", "up", "--nodes", "2", "--root", str(root)]
    with log.open("wb") as out:
        rack = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        until("the rack is up", lambda: rack.poll() is not None or "export KUBECONFIG=" in log.read_text(), 60)
        assert rack.poll() is None, log.read_text()
        cache = f"--cache-dir={log.parent / 'cache'}"
        place = RackPlace(User(programs / "kubectl", programs / "helm", root / "kubeconfig", flags=(cache,)), root=root)
        until("the driver is ready", lambda: all(map(place.published, place.nodes)), 60)
        yield place
        rack.send_signal(signal.SIGINT)
        assert rack.wait(30) == 0, log.read_text()
    finally:
        rack.kill()
        rack.wait()
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(log.parent, ignore_errors=True)
