"""Objects of resource.k8s.io as frozen classes: the fields that we read, in the API's own spelling.

Decoded straight from the wire (msgspec ignores the fields we do not name). Never written back whole: writes are
patches, or manifests that we own entirely.
"""

from typing import TypeAlias

from msgspec import Struct, field

from nvdra.api import names
from nvdra.api.meta import Meta


class ResourceClaimTemplate(Struct, frozen=True, gc=False):
    """A ResourceClaimTemplate."""

    metadata: Meta = Meta()


class OpaqueConfig(Struct, frozen=True, gc=False):
    """`opaque` of a device config; `parameters` stays as it came: decoding it is the driver's business."""

    driver: str = ""
    parameters: dict[str, object] = field(default_factory=dict)


class AllocationConfig(Struct, frozen=True, gc=False):
    """`status.allocation.devices.config[]`."""

    source: str = ""
    requests: tuple[str, ...] = ()
    opaque: OpaqueConfig | None = None


class AllocationResult(Struct, frozen=True, gc=False):
    """`status.allocation.devices.results[]`."""

    request: str = ""
    driver: str = ""
    pool: str = ""
    device: str = ""
    adminAccess: bool | None = None
    shareID: str | None = None


class DeviceAllocation(Struct, frozen=True, gc=False):
    """`status.allocation.devices`."""

    results: tuple[AllocationResult, ...] = ()
    config: tuple[AllocationConfig, ...] = ()


class Allocation(Struct, frozen=True, gc=False):
    """`status.allocation`."""

    devices: DeviceAllocation = DeviceAllocation()


class ConsumerReference(Struct, frozen=True, gc=False):
    """`status.reservedFor[]`."""

    resource: str = ""
    name: str = ""
    uid: str = ""


class ResourceClaimStatus(Struct, frozen=True, gc=False):
    """`status` of a ResourceClaim."""

    allocation: Allocation | None = None
    reservedFor: tuple[ConsumerReference, ...] = ()


class ClaimDevices(Struct, frozen=True, gc=False):
    """`spec.devices` of a ResourceClaim, as far as it tells the driver something."""

    config: tuple[AllocationConfig, ...] = ()


class ResourceClaimSpec(Struct, frozen=True, gc=False):
    """`spec` of a ResourceClaim."""

    devices: ClaimDevices = ClaimDevices()


class ResourceClaim(Struct, frozen=True, gc=False):
    """A ResourceClaim (status is the same in v1, v1beta2 and v1beta1)."""

    metadata: Meta = Meta()
    status: ResourceClaimStatus = ResourceClaimStatus()
    spec: ResourceClaimSpec = ResourceClaimSpec()


_Int: TypeAlias = int  # the fields of an Attribute are named like their types
_Bool: TypeAlias = bool


class Attribute(Struct, frozen=True, gc=False):
    """One value of a device's attributes."""

    string: str | None = None
    int: _Int | None = None
    bool: _Bool | None = None
    version: str | None = None


class BasicDevice(Struct, frozen=True, gc=False):
    """v1beta1's extra level: `devices[].basic`."""

    attributes: dict[str, Attribute] = field(default_factory=dict)


class Device(Struct, frozen=True, gc=False):
    """`spec.devices[]` of a ResourceSlice."""

    name: str = ""
    attributes: dict[str, Attribute] = field(default_factory=dict)
    basic: BasicDevice | None = None

    def attribute(self, name: str) -> Attribute | None:
        """The attribute of that name in either spelling of the API, or None."""
        found = (self.basic.attributes if self.basic else self.attributes).get(name)
        return found or (self.basic.attributes if self.basic else self.attributes).get(f"{names.CD_DRIVER}/{name}")


class Pool(Struct, frozen=True, gc=False):
    """`spec.pool` of a ResourceSlice."""

    name: str = ""
    generation: int = 0
    resourceSliceCount: int = 0


class ResourceSliceSpec(Struct, frozen=True, gc=False):
    """`spec` of a ResourceSlice."""

    driver: str = ""
    nodeName: str = ""
    pool: Pool = Pool()
    devices: tuple[Device, ...] = ()


class ResourceSlice(Struct, frozen=True, gc=False):
    """A ResourceSlice."""

    metadata: Meta = Meta()
    spec: ResourceSliceSpec = ResourceSliceSpec()
