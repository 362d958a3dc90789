"""The statecharts that a process runs: those in the package, or a user's own in their place.

Those in the package are there a second time as they were read (`read/NAME.json`, made with the docs), so that a process
need not load a YAML reader, which is 10 ms and a megabyte. What was read from another text than the YAML's counts for
nothing: then the YAML is read.
"""

import functools
import logging
import zlib
from pathlib import Path
from typing import Any

import msgspec
from attrs import frozen

import nvdra
from nvdra.core.laws import check
from nvdra.core.machine import Interpreter
from nvdra.core.statechart import Statechart
from nvdra.core.table import compile_table
from nvdra.errors import StatechartError

log = logging.getLogger(__name__)


@frozen
class AsRead:
    """A statechart, and the checksum of the text that it was read from."""

    checksum: int
    statechart: Statechart


def shipped() -> Path:
    """The folder of the statecharts that came with nvdra."""
    package = Path(nvdra.__file__).parent
    installed = package / "_statecharts"
    return installed if installed.is_dir() else package.parent / "statecharts"


def interpreter(name: str, override: Path | None = None) -> Interpreter:
    """The statechart of that name, ready to settle.

    The shipped ones keep the laws: the test suite checks them. One of a user's is checked here, before it may run.
    """
    file = override / f"{name}.yaml" if override else None
    if file is None or not file.is_file():
        return _shipped(name)
    from nvdra import loader

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
    return Interpreter(compile_table(read(shipped() / f"{name}.yaml")))


def read(file: Path) -> Statechart:
    """One of the package's statecharts, by the shortest way that is sure."""
    try:
        found = msgspec.json.decode(read_before(file).read_bytes(), type=AsRead)
        if found.checksum == zlib.crc32(file.read_bytes()):
            return found.statechart
    except (OSError, msgspec.MsgspecError):
        pass
    from nvdra import loader

    return loader.load(file).statechart


def read_before(file: Path) -> Path:
    """Where it is as it was read."""
    return file.parent / "read" / f"{file.stem}.json"


def as_read(file: Path) -> str:
    """What belongs there."""
    from nvdra import loader

    told = AsRead(zlib.crc32(file.read_bytes()), loader.load(file).statechart)
    return msgspec.json.encode(_in_order(msgspec.to_builtins(told, str_keys=True))).decode() + "\n"


def _in_order(value: Any) -> Any:
    """The same statechart is to be the same text: lists were sets, and have no order; tuples stay as they are."""
    if isinstance(value, dict):
        return {key: _in_order(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted(value)
    return tuple(map(_in_order, value)) if isinstance(value, tuple) else value


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
