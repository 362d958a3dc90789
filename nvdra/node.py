"""What a node's plugin needs of its machine: NVML, proc files, CDI, device nodes, records; as values and Protocols."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

from nvdra.api.records import ClaimRecord


@frozen
class Gpu:
    """One GPU as NVML shows it. `fabric` is None where NVML says NOT_SUPPORTED."""

    index: int
    uuid: str
    fabric: "Fabric | None" = None


@frozen
class Fabric:
    """nvmlDeviceGetGpuFabricInfo: state 0..3 (3 completed), status an nvmlReturn (0 success), UUID with dashes."""

    state: int
    status: int
    cluster_uuid: str
    clique_id: int


@frozen
class NvmlReading:
    """One look at NVML: opened for it and closed again. `error` names what failed; the rest is then empty."""

    driver_version: str = ""
    gpus: tuple[Gpu, ...] = ()
    error: str = ""


class Nvml(Protocol):
    """The NVIDIA driver's management library."""

    async def read(self) -> NvmlReading:
        """Open, read, close. Never raises: what went wrong is in `error`."""
        ...


@frozen
class ChannelNumbers:
    """Character-device majors and the number of IMEX channels that the driver made."""

    channel_major: int | None = None
    caps_major: int | None = None
    channels: int = 2048
    imex_mgmt_minor: int | None = None
    error: str = ""


class ProcDevices(Protocol):
    """/proc/devices and /proc/driver/nvidia, or files that stand for them."""

    def read(self) -> ChannelNumbers:
        """Read both. Never raises: what went wrong is in `error`."""
        ...


@frozen
class DeviceNode:
    """A character device: `path` as the container sees it."""

    path: str
    major: int
    minor: int
    mode: int = 0o666


@frozen
class Mount:
    """A bind mount into a container."""

    host_path: str
    container_path: str
    options: tuple[str, ...] = ("rw", "nosuid", "nodev", "bind")


@frozen
class Edits:
    """CDI containerEdits, as far as we make them."""

    env: tuple[str, ...] = ()
    device_nodes: tuple[DeviceNode, ...] = ()
    mounts: tuple[Mount, ...] = ()


@frozen
class CdiSpec:
    """One CDI file: `kind` is vendor/class, `devices` maps device names to their edits."""

    kind: str
    devices: Mapping[str, Edits] = field(factory=dict)
    edits: Edits = Edits()


class Cdi(Protocol):
    """The folder of CDI files on this node. Writes are atomic and synced."""

    def read(self, kind: str, claim_uid: str) -> CdiSpec | None:
        """The claim's file as it is on disk; None when absent or not readable as one of ours."""
        ...

    def write(self, spec: CdiSpec, claim_uid: str) -> None:
        """Make the claim's file be exactly this."""
        ...

    def remove(self, kind: str, claim_uid: str) -> None:
        """Make the claim's file be gone."""
        ...


class DeviceNodes(Protocol):
    """Character devices below the device root of this node."""

    def missing(self, nodes: Sequence[DeviceNode]) -> Sequence[DeviceNode]:
        """Those that are absent, or are there with another number."""
        ...

    def make(self, nodes: Sequence[DeviceNode]) -> None:
        """Make them with mknod; Refused where the kernel does not allow it."""
        ...

    def remove(self, nodes: Sequence[DeviceNode]) -> None:
        """Make them be gone; already gone is success."""
        ...


class Records(Protocol):
    """The write-ahead records of claims: synced, one file each."""

    def put(self, record: ClaimRecord) -> None:
        """Write it."""
        ...

    def remove(self, uid: str) -> None:
        """Forget it; not known is success."""
        ...
