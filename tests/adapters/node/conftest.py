import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for sockets: pytest's own grow with the names of tests."""
    with tempfile.TemporaryDirectory(prefix="nv", dir="/tmp") as folder:
        yield Path(folder)
