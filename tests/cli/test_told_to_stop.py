"""A process of the driver that is told to stop while it starts."""

import subprocess
import sys

TOLD_WHILE_IT_LOADS = """
import os, signal, sys

class Told:
    def find_spec(self, name, *_):
        if name in ("nvdra.apps.daemon", "nvdra.cli"):
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Told())
from nvdra.start import main
main()
"""


def test_it_ends_by_itself_while_it_loads():
    """The kernel keeps a signal without a handler from a container's first process: it would go on for half a minute."""
    for command in (("imex-daemon", "run"), ("controller",)):
        ran = subprocess.run([sys.executable, "-c", TOLD_WHILE_IT_LOADS, *command], capture_output=True, check=False)
        assert ran.returncode == 128 + 15, ran.stderr.decode()
