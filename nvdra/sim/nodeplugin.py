"""The real kubelet plugin on a pretend node: same code and sockets, pretend NVML, paths below the node's root."""

import os
from pathlib import Path, PurePosixPath

from nvdra.adapters.devnodes import DiskDeviceNodes
from nvdra.adapters.driver_root import DriverRoot, daemon_edits
from nvdra.adapters.procfs import ProcFiles
from nvdra.apps.kubelet_plugin import Hardware, KubeletPlugin, PluginSettings
from nvdra.engine.recorder import Meter, NoMeter
from nvdra.ports import Cluster
from nvdra.sim.nvml import PretendNvml

DRIVER_ON_HOST = PurePosixPath("/driver")


def may_mknod(folder: Path) -> bool:
    """Whether this process may make device nodes; where not, the rack uses marked plain files."""
    probe = folder / ".mknod-probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.unlink(missing_ok=True)
        os.mknod(probe, 0o020600, os.makedev(1, 3))
    except OSError:
        return False
    probe.unlink()
    return True


def _registry(node_root: Path) -> str:
    """The folder of registration sockets; a test may tell a plugin of a wrong one by a file at the node's root."""
    told = node_root / "plugin-registry"
    return told.read_text().strip() if told.is_file() else "plugins_registry"


def plugin(
    node_root: Path, node_name: str, cluster: Cluster, version: str = "v1", meter: Meter | None = None
) -> KubeletPlugin:
    """A plugin for that node."""
    root = DriverRoot(node_root / "driver", DRIVER_ON_HOST)
    kubelet = node_root / "var/lib/kubelet"
    settings = PluginSettings(
        node_name=node_name,
        plugins=kubelet / "plugins",
        plugins_on_host=Path("/var/lib/kubelet/plugins"),
        registry=kubelet / _registry(node_root),
        cdi=node_root / "var/run/cdi",
        boot_id=(node_root / "proc/sys/kernel/random/boot_id").read_text().strip(),
        resource_version=version,
        sure=float(os.environ.get("SWEEP_SURE", "35")),
        hold=float(os.environ.get("PREPARE_HOLD", "5")),
        probe_every=float(os.environ.get("PROBE_INTERVAL", "5")),
    )
    hardware = Hardware(
        PretendNvml(node_root / "hardware.json"),
        ProcFiles(node_root / "driver/proc/devices", node_root / "driver/proc/driver/nvidia"),
        DiskDeviceNodes(node_root, plain_files=not may_mknod(node_root)),
        lambda: daemon_edits(root, node_root / "driver"),
    )
    return KubeletPlugin(settings, cluster, hardware, meter or NoMeter())
