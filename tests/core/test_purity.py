"""The core is cheap to import and knows nothing of the outside."""

import subprocess
import sys

HEAVY = ("asyncio", "kubernetes", "grpc", "yaml", "aiohttp", "msgspec", "cattrs", "pynvml", "socket", "nvdra.engine")


def test_the_core_imports_nothing_heavy():
    """`import nvdra.core.machine` and the laws bring none of the outside world along."""
    code = "import nvdra.core.machine, nvdra.core.laws, nvdra.core.waits, nvdra.core.findings"
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "nvdra.core.machine" in modules
    assert not [module for module in modules if module.startswith(HEAVY)]
