"""What NVML's readings mean: the clique of a node, or why it is not known; the driver's version.

Pure. "No fabric" is a statement that NVML makes; silence, training, failure or disagreement of GPUs is not one.
"""

import re
from typing import Final

from attrs import frozen

from nvdra.node import Fabric, Gpu, NvmlReading

NOT_SUPPORTED: Final = 0
COMPLETED: Final = 3
SUCCESS: Final = 0
ZERO_UUID: Final = "00000000-0000-0000-0000-000000000000"

_STATES: Final = {1: "not started", 2: "in progress"}
_LOOK: Final = "see Fabric in nvidia-smi -q and the fabric manager on this node"
_TRAINING: Final = f"it goes on by itself when the fabric is up; if not, {_LOOK}"
_VERSION: Final = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:[-+ ].*)?", re.ASCII)


@frozen
class Clique:
    """`<cluster UUID>.<clique id>`, or "" where it is known that there is no fabric. `because` says how we know."""

    known: bool
    id: str
    because: str


def clique_of(reading: NvmlReading) -> Clique:
    """The one clique that all GPUs of the node are in."""
    if reading.error:
        return _unknown(reading.error)
    if not reading.gpus:
        return _unknown("NVML shows no GPU on this node")
    for gpu in reading.gpus:
        fault = _fault(gpu.fabric)
        if fault:
            return _unknown(f"{_name(gpu)}: {fault}")
    first = reading.gpus[0]
    for gpu in reading.gpus[1:]:
        if _id(gpu.fabric) != _id(first.fabric):
            return _unknown(
                f"GPUs differ: {_name(first)} is in {_id(first.fabric) or 'no fabric'}, "
                f"{_name(gpu)} in {_id(gpu.fabric) or 'no fabric'}; {_LOOK}"
            )
    found = _id(first.fabric)
    count = f"{len(reading.gpus)} GPU{'s' if len(reading.gpus) > 1 else ''}"
    return Clique(known=True, id=found, because=f"NVML: {count} in {f'clique {found}' if found else 'no fabric'}")


def driver_version(text: str) -> tuple[int, int, int]:
    """Three numbers to compare; a part that is not there counts as 0. ValueError names a text that is no version."""
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"driver version {text!r} is not like 570.158.01")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def _unknown(because: str) -> Clique:
    return Clique(known=False, id="", because=because)


def _name(gpu: Gpu) -> str:
    return f"GPU {gpu.index} ({gpu.uuid})"


def _fault(fabric: Fabric | None) -> str:
    """Why this GPU says nothing certain; empty when it does."""
    if fabric is None or fabric.state == NOT_SUPPORTED:
        return ""
    if fabric.state != COMPLETED:
        state = _STATES.get(fabric.state, f"in unknown state {fabric.state}")
        return f"fabric registration is {state}; {_TRAINING}"
    if fabric.status != SUCCESS:
        return f"fabric registration failed with NVML status {fabric.status}; {_LOOK}"
    return ""


def _id(fabric: Fabric | None) -> str:
    """The clique's id of a GPU without fault; empty for no fabric."""
    if fabric is None or fabric.state == NOT_SUPPORTED or fabric.cluster_uuid == ZERO_UUID:
        return ""
    return f"{fabric.cluster_uuid}.{fabric.clique_id}"
