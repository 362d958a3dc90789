"""Where nvidia-imex and nvidia-imex-ctl are. They come from the node's driver, by CDI, never from our image."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nvdra.errors import Refused

IMEX: Final = "nvidia-imex"
IMEX_CTL: Final = "nvidia-imex-ctl"
FOLDERS: Final = ("/usr/bin", "/opt/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin")


def located(program: str, flag: str = "", *, path: str | None = None, folders: Sequence[str] = FOLDERS) -> Path:
    """The program's path: `flag` when given, else the first in PATH and the usual folders; Refused when nowhere."""
    if flag:
        return _named(program, Path(flag))
    searched = (os.environ.get("PATH", "") if path is None else path).split(os.pathsep)
    places = [Path(folder) for folder in dict.fromkeys([*searched, *folders]) if folder]
    for place in places:
        candidate = place / program
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise Refused(
        f"IMEX binary missing: no {program} in {', '.join(map(str, places))}; "
        "install the driver's IMEX package (nvidia-imex) on this node, and check that CDI edits were applied",
        reason="ImexBinaryMissing",
    )


def _named(program: str, path: Path) -> Path:
    if not path.is_file():
        raise Refused(f"IMEX binary missing: {program} should be at {path}, as a flag says", reason="ImexBinaryMissing")
    if not os.access(path, os.X_OK):
        raise Refused(f"IMEX binary {path} may not be run: check its mode", reason="ImexBinaryMissing")
    return path
