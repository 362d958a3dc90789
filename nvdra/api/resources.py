"""Objects of resource.k8s.io as frozen classes: the fields that we read, in the API's own spelling.

Decoded straight from the wire (msgspec ignores the fields we do not name). Never written back whole: writes are
patches, or manifests that we own entirely.
"""

from typing import TypeAlias

from attrs import field, frozen

from nvdra.api import names
from nvdra.api.meta import Meta


@frozen
class ResourceClaimTemplate:
    """A ResourceClaimTemplate."""

    metadata: Meta = Meta()


@frozen
class OpaqueConfig:
    """`opaque` of a device config; `parameters` stays as it came: decoding it is the driver's business."""

    driver: str = ""
    parameters: dict[str, object] = field(factory=dict)


@frozen
class AllocationConfig:
    """`status.allocation.devices.config[]`."""

    source: str = ""
    requests: tuple[str, ...] = ()
    opaque: OpaqueConfig | None = None


@frozen
class AllocationResult:
    """`status.allocation.devices.results[]`."""

    request: str = ""
    driver: str = ""
    pool: str = ""
    device: str = ""
    adminAccess: bool | None = None
    shareID: str | None = None


@frozen
class DeviceAllocation:
    """`status.allocation.devices`."""

    results: tuple[AllocationResult, ...] = ()
    config: tuple[AllocationConfig, ...] = ()


@frozen
class Allocation:
    """`status.allocation`."""

    devices: DeviceAllocation = DeviceAllocation()


@frozen
class ConsumerReference:
    """`status.reservedFor[]`."""

    resource: str = ""
    name: str = ""
    uid: str = ""


@frozen
class ResourceClaimStatus:
    """`status` of a ResourceClaim."""

    allocation: Allocation | None = None
    reservedFor: tuple[ConsumerReference, ...] = ()


@frozen
class ClaimDevices:
    """`spec.devices` of a ResourceClaim, as far as it tells the driver something."""

    config: tuple[AllocationConfig, ...] = ()


@frozen
class ResourceClaimSpec:
    """`spec` of a ResourceClaim."""

    devices: ClaimDevices = ClaimDevices()


@frozen
class ResourceClaim:
    """A ResourceClaim (status is the same in v1, v1beta2 and v1beta1)."""

    metadata: Meta = Meta()
    status: ResourceClaimStatus = ResourceClaimStatus()
    spec: ResourceClaimSpec = ResourceClaimSpec()


_Int: TypeAlias = int  # the fields of an Attribute are named like their types
_Bool: TypeAlias = bool


@frozen
class Attribute:
    """One value of a device's attributes."""

    string: str | None = None
    int: _Int | None = None
    bool: _Bool | None = None
    version: str | None = None


@frozen
class BasicDevice:
    """v1beta1's extra level: `devices[].basic`."""

    attributes: dict[str, Attribute] = field(factory=dict)


@frozen
class Device:
    """`spec.devices[]` of a ResourceSlice."""

    name: str = ""
    attributes: dict[str, Attribute] = field(factory=dict)
    basic: BasicDevice | None = None

    def attribute(self, name: str) -> Attribute | None:
        """The attribute of that name in either spelling of the API, or None."""
        found = (self.basic.attributes if self.basic else self.attributes).get(name)
        return found or (self.basic.attributes if self.basic else self.attributes).get(f"{names.CD_DRIVER}/{name}")


@frozen
class Pool:
    """`spec.pool` of a ResourceSlice."""

    name: str = ""
    generation: int = 0
    resourceSliceCount: int = 0


@frozen
class ResourceSliceSpec:
    """`spec` of a ResourceSlice."""

    driver: str = ""
    nodeName: str = ""
    pool: Pool = Pool()
    devices: tuple[Device, ...] = ()


@frozen
class ResourceSlice:
    """A ResourceSlice."""

    metadata: Meta = Meta()
    spec: ResourceSliceSpec = ResourceSliceSpec()
