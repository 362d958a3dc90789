"""What an IMEX daemon is told, by the downward API, by the CDI edits of its claim and by its files. Read once."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from attrs import field, frozen

from nvdra.adapters.imex.binaries import FOLDERS, IMEX, IMEX_CTL, located
from nvdra.api import names
from nvdra.apps.daemon_probe import RHYTHM, Rhythm
from nvdra.domains.imex_daemon.config import ImexSettings, imex_config
from nvdra.domains.imex_daemon.files import Paths
from nvdra.domains.imex_daemon.snapshot import Identity
from nvdra.errors import ConfigError

NO_CDI: Final = (
    "CDI edits did not apply: COMPUTE_DOMAIN_UUID is not set; is CDI enabled in containerd (enable_cdi = true)?"
    " The daemon runs as a pod of a ComputeDomain only"
)
_LIBRARIES: Final = ("usr/lib64", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib64", "usr/lib")


@frozen
class ImexDaemonSettings:
    """One daemon. `health_port` None: no probes; `hold`: seconds that the kubelet's probe is held.

    `programs`: the folder of the driver's programs; None: searched for below `root`.
    """

    identity: Identity
    root: Path = field(default=Path("/"))
    health_port: int | None = names.HEALTH_PORT
    hold: float = 55.0
    grace: float = 20.0
    programs: Path | None = None
    statecharts: Path | None = None
    rhythm: Rhythm = RHYTHM

    @property
    def paths(self) -> Paths:
        """Where its files are."""
        return Paths(self.root)

    def program(self, name: str) -> Path:
        """A program of the driver, below our root; Refused when it is nowhere."""
        if self.programs is not None:
            return self.programs / name
        if self.root == Path("/"):
            return located(name)
        return located(name, path="", folders=[str(self.root / folder.lstrip("/")) for folder in FOLDERS])

    @property
    def imex(self) -> Path:
        return self.program(IMEX)

    @property
    def imex_ctl(self) -> Path:
        return self.program(IMEX_CTL)


def settings_of(environ: Mapping[str, str]) -> ImexDaemonSettings:
    """From the container's environment; ConfigError names what is missing or cannot be used."""
    root = Path(environ.get("NVDRA_ROOT") or "/")
    if not environ.get("COMPUTE_DOMAIN_UUID"):
        raise ConfigError(NO_CDI)
    addresses = _addresses(environ)
    identity = Identity(
        domain=environ["COMPUTE_DOMAIN_UUID"],
        clique=environ.get("CLIQUE_ID", ""),
        node=_needed(environ, "NODE_NAME"),
        addresses=addresses,
        namespace=_needed(environ, "POD_NAMESPACE"),
        slots=_number(environ, "MAX_NODES_PER_IMEX_DOMAIN", names.MAX_NODES_PER_IMEX_DOMAIN, least=1),
        wanted=_number(environ, "COMPUTE_DOMAIN_NUM_NODES", 0),
        driver=environ.get("DRIVER_VERSION", "") or driver_version_below(root),
        title="/".join(filter(None, map(environ.get, ("COMPUTE_DOMAIN_NAMESPACE", "COMPUTE_DOMAIN_NAME")))),
    )
    return daemon_settings(identity, root, statecharts=_path(environ.get("NVDRA_STATECHARTS", "")))


def daemon_settings(
    identity: Identity,
    root: Path = Path("/"),
    *,
    extra: Mapping[str, str] | None = None,
    **others: Any,
) -> ImexDaemonSettings:
    """With nvidia-imex's configuration made from it; ConfigError when that cannot be. `others`: of the settings."""
    imex = ImexSettings(identity.addresses[0], str(Paths(root).nodes), extra=extra or {})
    return ImexDaemonSettings(attrs.evolve(identity, config=imex_config(imex)), root, **others)


def driver_version_below(root: Path) -> str:
    """From the name of the driver's library, which CDI mounts under its full name; "" when it is not there."""
    for folder in _LIBRARIES:
        for library in sorted((root / folder).glob("libnvidia-ml.so.*.*")):
            return library.name.removeprefix("libnvidia-ml.so.")
    return ""


def _addresses(environ: Mapping[str, str]) -> tuple[str, ...]:
    first = _needed(environ, "POD_IP")
    others = [text.strip() for text in environ.get("POD_IPS", "").split(",") if text.strip()]
    try:
        return tuple(dict.fromkeys(str(ipaddress.ip_address(text)) for text in [first, *others]))
    except ValueError as error:
        raise ConfigError(f"POD_IP or POD_IPS: {error}; they come from the downward API (status.podIP)") from error


def _needed(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):
        raise ConfigError(f"{name} is not set; the daemon's pod gets it from the downward API: was it changed by hand?")
    return environ[name]


def _number(environ: Mapping[str, str], name: str, default: int, least: int = 0) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{name}={text!r} must be a number of at least {least}")
    return int(text)


def _path(text: str) -> Path | None:
    return Path(text) if text else None
