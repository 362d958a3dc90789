"""What a pretend instance is told: its configuration file, its place on the node, and failures to act out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

DRIVER_VERSION = "580.95.05"
PORT, COMMAND_PORT = 50000, 50005


class ImexFault(Exception):
    """A reason to exit, as the program prints it."""


class Place(NamedTuple):
    """Where a node's files are: one session a node below `root`, names in `hosts`, memory of importers in `persist`."""

    root: Path
    hosts: Path
    persist: Path

    @property
    def control(self) -> Path:
        """Failures to act out; may be written at any time."""
        return self.root / "imex-control.json"


def place_of(root: str | Path, hosts: str | Path = "", persist: str | Path = "") -> Place:
    """A place with its defaults. A pod's /var/run dies with the pod: `persist` can be another file for each."""
    root = Path(root)
    return Place(root, Path(hosts or "/etc/hosts"), Path(persist or root / "imex-persist.json"))


def place_from(environment: Mapping[str, str]) -> Place:
    """The place that the rack tells its programs through NVDRA_SIM_NODE_ROOT, _HOSTS and _PERSIST."""
    return place_of(
        environment.get("NVDRA_SIM_NODE_ROOT", "/run/nvdra-sim"),
        environment.get("NVDRA_SIM_HOSTS", ""),
        environment.get("NVDRA_SIM_PERSIST", ""),
    )


class Config(NamedTuple):
    """The keys of the configuration file that a pretend instance acts on."""

    nodes_file: Path
    bind: str
    port: int
    command_bind: str
    command_port: int
    command_enabled: bool
    quorum: str

    @property
    def own_address(self) -> str:
        """The real one compares network interfaces; with many nodes on one machine only this tells them apart."""
        return self.bind or self.command_bind


def read_config(path: Path) -> Config:
    """The configuration file; ImexFault when it is not there or not usable."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise ImexFault(f"Failed to open configuration file {path}: {error.strerror}") from error
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    values = {key.strip(): value.strip() for key, _, value in pairs}
    try:
        return Config(
            Path(values.get("IMEX_NODE_CONFIG_FILE") or "/etc/nvidia-imex/nodes_config.cfg"),
            values.get("BIND_INTERFACE_IP", ""),
            int(values.get("SERVER_PORT") or PORT),
            values.get("IMEX_CMD_BIND_INTERFACE_IP", ""),
            int(values.get("IMEX_CMD_PORT") or COMMAND_PORT),
            values.get("IMEX_CMD_ENABLED", "0") == "1",
            values.get("IMEX_WAIT_FOR_QUORUM") or "RECOVERY",
        )
    except ValueError as error:
        raise ImexFault(f"Invalid value in configuration file {path}: {error}") from error


def read_nodes(path: Path) -> list[str]:
    """The names of all nodes, one a line, read once; ImexFault when there are none."""
    try:
        names = [line.strip() for line in path.read_text().splitlines()]
    except OSError as error:
        raise ImexFault(f"Failed to open node configuration file {path}: {error.strerror}") from error
    names = [name for name in names if name and not name.startswith("#")]
    if not names:
        raise ImexFault(f"Node configuration file {path} lists no nodes")
    return names


def read_hosts(path: Path) -> dict[str, list[str]]:
    """Names and the addresses that each has in a hosts file."""
    found: dict[str, list[str]] = {}
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        address, *names = line.split("#", 1)[0].split() or [""]
        for name in names:
            found.setdefault(name, []).append(address)
    return found


class Control(NamedTuple):
    """Failures to act out. `crash` is (after, code); times are seconds since the start, `slow` delays each answer."""

    start_delay: float = 0.0
    ready_after: float = 0.0
    crash: tuple[float, int] | None = None
    exit_at_start: str = ""
    hang_ctl: bool = False
    version: str = DRIVER_VERSION
    unreachable: frozenset[str] = frozenset()
    slow: float = 0.0
    deaf: float = 5.0


def control_of(told: dict[str, Any]) -> Control:
    """The control file's words; unknown ones are a ValueError, so that a typing error in a test is seen."""
    unknown = set(told) - set(Control._fields)
    if unknown:
        raise ValueError(
            f"imex-control.json: unknown {', '.join(sorted(unknown))}; known: {', '.join(Control._fields)}"
        )
    values = dict(told)
    if told.get("crash") is not None:
        values["crash"] = (float(told["crash"].get("after", 0)), int(told["crash"].get("code", 1)))
    values["unreachable"] = frozenset(told.get("unreachable", ()))
    return Control(**values)


class ControlFile:
    """The control file, read again when it has changed; one that is half written counts as not yet changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._last = Control()

    def look(self) -> Control:
        """The failures to act out now."""
        try:
            seen = self._path.stat()
            stamp = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
            if stamp != self._stamp:
                self._last, self._stamp = control_of(json.loads(self._path.read_text())), stamp
        except FileNotFoundError:
            self._last, self._stamp = Control(), None
        except json.JSONDecodeError:
            pass
        return self._last
