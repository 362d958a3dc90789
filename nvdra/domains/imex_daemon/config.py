"""The two files that nvidia-imex reads at its start, as bytes. Pure: who writes them, and where, is not said here."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import field, frozen

from nvdra.api import names
from nvdra.errors import ConfigError, Refused

_OURS: Final = ("IMEX_CMD_BIND_INTERFACE_IP", "IMEX_NODE_CONFIG_FILE", "SERVER_PORT", "IMEX_CMD_PORT", "DAEMONIZE")
"""Keys that hold the domain together: nobody may set them from outside."""
_OPTIONAL: Final = ("IMEX_AUTH_SOURCE", "IMEX_SECURITY_TARGET_OVERRIDE")
"""Known to newer versions only, so written only where asked for."""


@frozen
class ImexSettings:
    """What differs between nodes or installations; everything else in the file is fixed.

    `extra` replaces values of other keys, such as IMEX_NODE_DISCONNECTED_GRACE_TIME.
    """

    pod_address: str
    nodes_file: str = "/imexd/nodes.cfg"
    server_port: int = names.IMEX_SERVER_PORT
    command_port: int = names.IMEX_COMMAND_PORT
    quorum: str = "RECOVERY"
    extra: Mapping[str, str] = field(factory=dict)


def imex_config(settings: ImexSettings) -> bytes:
    """nvidia-imex's configuration file; ConfigError names a setting that cannot be used."""
    values = _fixed() | _chosen(settings)
    for key, value in settings.extra.items():
        _check_extra(key, value, values)
        values[key] = value
    return "".join(f"{key}={value}\n" for key, value in values.items()).encode()


def nodes_file(host_names: Iterable[str]) -> bytes:
    """One name per line, in the order of the indices. Instances compare this file: the same on every node, for ever."""
    return "".join(f"{name}\n" for name in host_names).encode()


def nodes_file_of_addresses(addresses: Mapping[int, str], wanted: int) -> bytes:
    """The file for drivers that know no names (before 570.158.01); Refused until all `wanted` addresses are known.

    It is read once at the start and compared between nodes, so it can neither be started early nor grow later.
    """
    oldest = ".".join((str(names.MIN_DRIVER_FOR_NAMES[0]), str(names.MIN_DRIVER_FOR_NAMES[1]), "01"))
    if wanted < 1:
        raise Refused(
            f"this driver is older than {oldest} and knows no host names in its list of nodes; "
            "set numNodes on the ComputeDomain, or update the driver",
            reason="DriverTooOld",
        )
    missing = [index for index in range(wanted) if not addresses.get(index)]
    if missing:
        raise Refused(
            f"this driver is older than {oldest} and needs all {wanted} addresses before IMEX can start; "
            f"not known yet: index {', '.join(map(str, missing[:5]))}{' …' if missing[5:] else ''}",
            reason="WaitingForAddresses",
        )
    return nodes_file(_address(addresses[index]) for index in range(wanted))


def knows_names(driver_version: str) -> bool:
    """Whether this driver's IMEX takes host names in its list of nodes (570.158.01 on). Unreadable: taken for new."""
    parts = driver_version.split(".")
    if not all(part.isdecimal() for part in parts):
        return True
    return tuple(int(part) for part in parts) >= names.MIN_DRIVER_FOR_NAMES


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ConfigError(f"{text!r} is not an IP address; IMEX is bound to the pod's address (POD_IP)") from error


def _check_extra(key: str, value: str, known: Mapping[str, str]) -> None:
    if key in _OURS:
        raise ConfigError(f"IMEX setting {key}: set by nvdra itself, as all nodes must agree on it; remove it")
    settable = [k for k in (*known, *_OPTIONAL) if k not in _OURS]
    if key not in settable:
        raise ConfigError(f"IMEX setting {key}: unknown; known are {', '.join(settable)}")
    if set(value) & {"\n", "\r", "\0"}:
        raise ConfigError(f"IMEX setting {key}: the value {value!r} must be one line")


def _chosen(settings: ImexSettings) -> dict[str, str]:
    return {
        "SERVER_PORT": str(settings.server_port),
        "IMEX_NODE_CONFIG_FILE": settings.nodes_file,
        "IMEX_WAIT_FOR_QUORUM": settings.quorum,
        # Bound to one address: with an empty value, probes fail on IPv6 (#328, #510).
        "IMEX_CMD_BIND_INTERFACE_IP": _address(settings.pod_address),
        "IMEX_CMD_PORT": str(settings.command_port),
    }


_KEYS: Final[Sequence[tuple[str, str]]] = (
    ("LOG_LEVEL", "4"),
    ("LOG_FILE_NAME", ""),
    ("STATS_FILE_NAME", "/var/log/nvidia-imex-stats.log"),
    ("LOG_APPEND_TO_LOG", "0"),
    ("LOG_FILE_MAX_SIZE", "1024"),
    ("LOG_MAX_ROTATE_COUNT", "10"),
    ("LOG_USE_SYSLOG", "0"),
    ("DAEMONIZE", "0"),
    ("BIND_INTERFACE_IP", ""),
    ("SERVER_PORT", ""),
    ("IMEX_NODE_CONFIG_FILE", ""),
    ("NETWORK_INTERFACE", ""),
    ("IMEX_WAIT_FOR_QUORUM", ""),
    ("IMEX_ENABLE_AUTH_ENCRYPTION", "0"),
    ("IMEX_AUTH_ENCRYPTION_MODE", "SSL_TLS"),
    ("IMEX_SERVER_KEY", ""),
    ("IMEX_SERVER_CERT", ""),
    ("IMEX_SERVER_CERT_AUTH", ""),
    ("IMEX_CLIENT_KEY", ""),
    ("IMEX_CLIENT_CERT", ""),
    ("IMEX_CLIENT_CERT_AUTH", ""),
    ("IMEX_GSS_SERVICE_NAME", "host"),
    ("IMEX_GSS_TIMEOUT_SEC", "30"),
    ("IMEX_GSS_RETRY_INTERVAL_SEC", "5"),
    ("IMEX_GSS_SEC_CONTEXT_LIFETIME_SEC", "-1"),
    ("IMEX_GSS_SHUTDOWN_ON_FAILURE", "0"),
    ("IMEX_CMD_ENABLED", "1"),
    ("IMEX_CMD_BIND_INTERFACE_IP", ""),
    ("IMEX_CMD_PORT", ""),
    ("IMEX_CMD_UNIX_DOMAIN_PATH", ""),
    ("IMEX_NODE_DISCONNECTED_GRACE_TIME", "-1"),
)
"""The order of reference-driver.md §4.5.1, with its values; empty ones that we choose are filled in above."""


def _fixed() -> dict[str, str]:
    return dict(_KEYS)
