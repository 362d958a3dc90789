"""The statecharts that a process runs: those in the package, or a user's own in their place."""

import functools
import logging
from pathlib import Path

from nvdra import loader
from nvdra.core.laws import check
from nvdra.core.machine import Interpreter
from nvdra.core.table import compile_table
from nvdra.errors import StatechartError

log = logging.getLogger(__name__)


def shipped() -> Path:
    """The folder of the statecharts that came with nvdra."""
    package = Path(loader.__file__).parent
    installed = package / "_statecharts"
    return installed if installed.is_dir() else package.parent / "statecharts"


def interpreter(name: str, override: Path | None = None) -> Interpreter:
    """The statechart of that name, ready to settle.

    The shipped ones keep the laws: the test suite checks them. One of a user's is checked here, before it may run.
    """
    file = override / f"{name}.yaml" if override else None
    if file is None or not file.is_file():
        return _shipped(name)
    loaded = loader.load(file)
    table = compile_table(loaded.statechart)
    faults = check(table)
    if faults:
        raise StatechartError("\n".join([f"{file}: not started", *map(loaded.said, faults)]))
    log.warning("statechart %s is taken from %s", name, file)
    return Interpreter(table)


@functools.cache
def _shipped(name: str) -> Interpreter:
    """Read once: an interpreter keeps nothing of what it settles, so all engines of a process may share it."""
    return Interpreter(compile_table(loader.load(shipped() / f"{name}.yaml").statechart))


def refuse_faulty(folder: Path) -> None:
    """Raise StatechartError with every fault of a folder of a user's statecharts, before any of them is needed."""
    from nvdra.apps.statechart_tools import faults_of

    ours = {file.name for file in shipped().glob("*.yaml")}
    faults: list[str] = []
    for file in sorted(folder.glob("*.yaml")):
        if file.name not in ours:
            faults.append(f"{file}: replaces nothing; nvdra has {', '.join(sorted(ours))}")
            continue
        faults += faults_of(file)
    if faults:
        raise StatechartError("\n".join([f"{folder}: not started", *faults]))
