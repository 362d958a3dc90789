"""The command `nvdra`, before anything is loaded.

An IMEX daemon opens its door first: the kubelet's first probe then waits inside until the daemon can answer, instead of
being turned away and coming back a second later. It also goes without the command line's own packages.
"""

import os
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_WAITING_ROOM = 16
_TOLD_TO_STOP = 128 + signal.SIGTERM


def main() -> None:
    """Run the command that the arguments name."""
    signal.signal(signal.SIGTERM, _nothing_begun)
    if sys.argv[1:] == ["imex-daemon", "run"]:
        door = opened(os.environ)
        from nvdra.apps.daemon import run_daemon

        sys.exit(run_daemon(os.environ, door))
    from nvdra.cli import main as command_line

    command_line()


def _nothing_begun(*_: object) -> None:
    """Told to stop while we load. A container's first process would miss a signal that it handles only later."""
    sys.exit(_TOLD_TO_STOP)


def opened(environ: Mapping[str, str]) -> "socket.socket | None":
    """A socket that listens where the probes come; None where that cannot be: the daemon tries again, and says why."""
    import socket  # `nvdra --help` goes without

    from nvdra.api import names

    address = environ.get("POD_IP", "")
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.create_server((address, names.HEALTH_PORT), family=family, backlog=_WAITING_ROOM)
    except OSError:
        return None
