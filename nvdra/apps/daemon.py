"""`nvdra imex-daemon run` and `check`: environment in, exit code out."""

import asyncio
import linecache
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from nvdra.adapters import logs
from nvdra.adapters.files import DiskFiles
from nvdra.adapters.http.client import HttpClient, Limits
from nvdra.adapters.http.connection import Endpoint, Unreachable
from nvdra.adapters.imex.ctl import ImexCtl
from nvdra.adapters.kube import config
from nvdra.adapters.kube.client import KubeClient
from nvdra.adapters.processes import AsyncProcesses, watch_without_threads
from nvdra.apps.daemon_settings import ImexDaemonSettings, settings_of
from nvdra.apps.daemon_supervision import CLEAN, CONFIGURATION, ImexDaemon, last_words
from nvdra.domains.imex_daemon.files import Paths
from nvdra.domains.imex_daemon.views import READY
from nvdra.errors import ConfigError, NvdraError

__all__ = ["ImexDaemon", "ImexDaemonSettings", "check", "run_daemon", "settings_of"]

log = logging.getLogger(__name__)
NOT_READY: Final = 1
_OK: Final = 200
_PROBE_SECONDS: Final = 3.0
_LEVELS: Final = frozenset({"debug", "info", "warning", "error"})


def run_daemon(environ: Mapping[str, str] = os.environ, door: socket.socket | None = None) -> int:
    """Until SIGTERM or SIGINT; the exit code. `door`: where probes wait already."""
    level = environ.get("LOG_LEVEL") or "info"
    logs.set_up(level if level.lower() in _LEVELS else "info", as_json=environ.get("LOG_FORMAT") == "json")
    try:
        settings = settings_of(environ)
    except ConfigError as error:
        last_words(DiskFiles(), Paths(Path(environ.get("NVDRA_ROOT") or "/")), str(error))
        return CONFIGURATION
    linecache.clearcache()  # attrs leaves the text of every method that it wrote there, for debuggers: 0.4 MB
    watch_without_threads()
    return asyncio.run(_run(settings, environ, door))


def check(environ: Mapping[str, str] = os.environ) -> int:
    """0 and not a word when ready; else 1 and the reason on standard error."""
    try:
        reason = asyncio.run(_unready(settings_of(environ)))
    except NvdraError as error:
        reason = str(error)
    if reason:
        sys.stderr.write(f"{reason}\n")
    return NOT_READY if reason else CLEAN


async def _run(settings: ImexDaemonSettings, environ: Mapping[str, str], door: socket.socket | None) -> int:
    try:
        access = config.load(environ=environ)
    except ConfigError as error:
        last_words(DiskFiles(), settings.paths, str(error))
        return CONFIGURATION
    # it asks once and then watches: a connection kept for another question is 0.2 MB, and a socket at the API server
    cluster = KubeClient(access, "imex-daemon", limits=Limits(kept=0))
    daemon = ImexDaemon(settings, cluster, AsyncProcesses(), door=door)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    try:
        return await daemon.run()
    finally:
        await cluster.close()


async def _unready(settings: ImexDaemonSettings) -> str:
    """Why it is not ready: as the daemon says, else as nvidia-imex-ctl does."""
    if settings.health_port is not None:
        client = HttpClient(Endpoint(settings.identity.addresses[0], settings.health_port))
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                answer = await client.request("GET", "/readyz")
        except (Unreachable, TimeoutError) as error:
            log.debug("the daemon does not answer: %s", error)
        else:
            return "" if answer.status == _OK else answer.body.decode(errors="replace").strip()
        finally:
            await client.close()
    if not settings.identity.clique:
        return ""
    state = await ImexCtl(AsyncProcesses(), settings.paths.config, settings.imex_ctl).state()
    return "" if state == READY else f"the IMEX daemon does not answer, and nvidia-imex-ctl says {state}"
