"""The executables that a pretend node's driver brings: small shell scripts that become the pretend programs."""

import shlex
import sys
from pathlib import Path

import nvdra
from nvdra.sim.imex.settings import Place

# Started without site-packages: only the standard library is needed, and finding packages takes longer than the rest.
_SHIM = """#!/bin/sh
trap '' USR1
: "${{NVDRA_SIM_NODE_ROOT:={root}}}" "${{NVDRA_SIM_HOSTS:={hosts}}}" "${{NVDRA_SIM_PERSIST:={persist}}}"
export NVDRA_SIM_NODE_ROOT NVDRA_SIM_HOSTS NVDRA_SIM_PERSIST
PYTHONPATH={packages} exec {python} -S -m nvdra.sim.imex {program} "$@"
"""
PROGRAMS = {"nvidia-imex": "imex", "nvidia-imex-ctl": "ctl", "nvdra-sim-imex-import": "import"}


def write_shims(folder: Path, place: Place, python: str = sys.executable) -> None:
    """Write nvidia-imex, nvidia-imex-ctl and the rack's own nvdra-sim-imex-import into `folder`.

    The environment's NVDRA_SIM_* values go before the place that is written into them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    packages = Path(nvdra.__file__).resolve().parent.parent
    words = {
        key: shlex.quote(str(value))
        for key, value in {**place._asdict(), "packages": packages, "python": python}.items()
    }
    for name, program in PROGRAMS.items():
        path = folder / name
        path.write_text(_SHIM.format(program=program, **words))
        path.chmod(0o755)
