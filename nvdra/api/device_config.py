"""What a ResourceClaim asks of this driver: its devices and the config that applies to them. Pure.

Precedence and request matching: reference-driver.md §3.4, with `main/sub` requests matched by their main name too.
"""

import re
from collections.abc import Sequence

import cattrs
from attrs import frozen
from cattrs import transform_error

from nvdra.api import names
from nvdra.api.records import RecordedDevice
from nvdra.api.resources import AllocationConfig, AllocationResult, ResourceClaim
from nvdra.errors import ConfigError

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_API_VERSION = f"{names.GROUP}/{names.VERSION}"


@frozen
class ComputeDomainChannelConfig:
    """A worker's config: which ComputeDomain, and one channel or all."""

    apiVersion: str  # noqa: N815 - the API's own spelling
    kind: str
    domainID: str  # noqa: N815 - the API's own spelling
    allocationMode: str = "Single"  # noqa: N815 - the API's own spelling


@frozen
class ComputeDomainDaemonConfig:
    """An IMEX daemon's config: which ComputeDomain."""

    apiVersion: str  # noqa: N815 - the API's own spelling
    kind: str
    domainID: str  # noqa: N815 - the API's own spelling


DeviceConfig = ComputeDomainChannelConfig | ComputeDomainDaemonConfig
_KINDS: dict[str, type[DeviceConfig]] = {
    "ComputeDomainChannelConfig": ComputeDomainChannelConfig,
    "ComputeDomainDaemonConfig": ComputeDomainDaemonConfig,
}
_TYPE_OF = {ComputeDomainChannelConfig: "channel", ComputeDomainDaemonConfig: "daemon"}

_strict = cattrs.Converter(forbid_extra_keys=True)


def _text(value: object, _: type) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, found {value!r}")
    return value


_strict.register_structure_hook(str, _text)


@frozen
class Request:
    """What a claim asks: `kind` is "channel" or "daemon"."""

    kind: str
    domain: str
    mode: str
    devices: tuple[RecordedDevice, ...]


def request_of(claim: ResourceClaim) -> Request:
    """Read a claim's allocation. Raises ConfigError that names the claim, the place and what is wrong there."""
    where = f"ResourceClaim {claim.metadata.path}"
    if claim.status.allocation is None:
        raise ConfigError(f"{where} has no allocation: it was released meanwhile, or never scheduled")
    allocation = claim.status.allocation.devices
    ours = [result for result in allocation.results if result.driver == names.CD_DRIVER]
    if not ours:
        raise ConfigError(f"{where} has no device of driver {names.CD_DRIVER}")
    kinds = sorted({_type_of(result, where) for result in ours})
    if len(ours) > 1:
        raise ConfigError(
            f"{where} asks for {len(ours)} devices ({', '.join(kinds)}): one channel or one daemon a claim"
        )
    configs = _decoded(allocation.config, where)
    config = _applying(ours[0], configs, where)
    return Request(
        kind=kinds[0],
        domain=config.domainID,
        mode=config.allocationMode if isinstance(config, ComputeDomainChannelConfig) else "Single",
        devices=tuple(RecordedDevice(r.request, r.pool, r.device, r.shareID or "") for r in ours),
    )


def decode(parameters: dict[str, object], where: str) -> DeviceConfig:
    """One opaque config, strictly: every fault is named."""
    kind = parameters.get("kind")
    wanted = _KINDS.get(kind) if isinstance(kind, str) else None
    if wanted is None or parameters.get("apiVersion") != _API_VERSION:
        found = f"{parameters.get('apiVersion')}, kind {kind}"
        raise ConfigError(f"{where}: {found} is not known here; known: {_API_VERSION}, kind {' or '.join(_KINDS)}")
    try:
        config: DeviceConfig = _strict.structure(parameters, wanted)
    except cattrs.BaseValidationError as error:
        raise ConfigError(f"{where}: {'; '.join(transform_error(error, path=str(kind)))}") from error
    if not _UUID.fullmatch(config.domainID):
        raise ConfigError(f"{where}: {kind}.domainID {config.domainID!r} is not the uid of a ComputeDomain")
    if isinstance(config, ComputeDomainChannelConfig) and config.allocationMode not in ("Single", "All"):
        raise ConfigError(f"{where}: {kind}.allocationMode {config.allocationMode!r} is neither Single nor All")
    return config


def _type_of(result: AllocationResult, where: str) -> str:
    kind, _, number = result.device.rpartition("-")
    if kind not in ("channel", "daemon") or not number.isdigit():
        raise ConfigError(f"{where}: device {result.device!r} is none of ours")
    return kind


def _decoded(configs: Sequence[AllocationConfig], where: str) -> list[tuple[AllocationConfig, DeviceConfig]]:
    """Ours, lowest precedence first: those of the class before those of the claim."""
    found = []
    for number, config in enumerate(configs):
        at = f"{where}: status.allocation.devices.config[{number}]"
        if config.source not in ("FromClass", "FromClaim"):
            raise ConfigError(f"{at}: source {config.source!r} is not known here")
        if config.opaque is None:
            raise ConfigError(f"{at}: only opaque parameters are known here")
        if config.opaque.driver == names.CD_DRIVER:
            found.append((config, decode(config.opaque.parameters, f"{at}.opaque.parameters")))
    return sorted(found, key=lambda pair: pair[0].source == "FromClaim")


def _applying(
    result: AllocationResult, configs: Sequence[tuple[AllocationConfig, DeviceConfig]], where: str
) -> DeviceConfig:
    kind = _type_of(result, where)
    other = ""
    for entry, config in reversed(configs):
        named = result.request in entry.requests or result.request.partition("/")[0] in entry.requests
        fits = _TYPE_OF[type(config)] == kind
        if fits and (named or not entry.requests):
            return config
        if named:
            raise ConfigError(f"{where}: {_misfit(config, result)}")
        if not entry.requests:
            other = other or _misfit(config, result)
    if other:  # the scheduler clears `requests` where all are named (1.37), so this may have been meant for us
        raise ConfigError(f"{where}: {other}")
    raise ConfigError(f"{where}: no config says which ComputeDomain device {result.device} is for")


def _misfit(config: DeviceConfig, result: AllocationResult) -> str:
    return f"a {type(config).__name__} cannot be applied to device {result.device}"
