"""The pretend NVML and driver root."""

import asyncio
import os

from nvdra.node import ChannelNumbers, Fabric, NvmlReading
from nvdra.sim.nvml import (
    NO_LIBRARY,
    PretendNvml,
    change_fabric,
    cluster_uuid,
    gpus_of,
    in_clique,
    make_driver_root,
    proc_devices_text,
    write_hardware,
    write_rack_node,
)


async def test_hardware_changes_are_seen_at_the_next_look(tmp_path):
    """No driver, then a driver in a clique, then one GPU still training, then an error, then no fabric."""
    path, fabric = tmp_path / "node/hardware.json", in_clique(cluster_uuid("rack-1"), 7)
    nvml = PretendNvml(path)
    assert await nvml.read() == NvmlReading(error=NO_LIBRARY)

    made = write_rack_node(path, "node-a", 4, fabric)
    assert await nvml.read() == made == NvmlReading("580.95.05", gpus_of("node-a", 4, fabric))
    assert len({gpu.uuid for gpu in made.gpus}) == 4

    training = Fabric(2, 0, fabric.cluster_uuid, 0)
    change_fabric(path, training, gpu=1)
    assert [gpu.fabric for gpu in (await nvml.read()).gpus] == [fabric, training, fabric, fabric]

    write_hardware(path, NvmlReading(error="Driver/library version mismatch"))
    assert await nvml.read() == NvmlReading(error="Driver/library version mismatch")

    write_rack_node(path, "node-a")
    assert [gpu.fabric for gpu in (await nvml.read()).gpus] == [None] * 4


async def test_a_faulty_hardware_file_is_an_error_not_a_crash(tmp_path):
    """A file that a test wrote wrongly is named."""
    for text in ("{", "[]", '{"gpus": [{}]}', '{"gpus": 3}'):
        (tmp_path / "hardware.json").write_text(text)
        assert "hardware.json" in (await PretendNvml(tmp_path / "hardware.json").read()).error


def test_driver_root_has_what_the_plugin_looks_for(tmp_path):
    """Programs are executable, the library is a regular file, and the /proc files have the driver's form."""
    made = make_driver_root(tmp_path, numbers=ChannelNumbers(507, 508, channels=64, imex_mgmt_minor=9))
    for name in ("nvidia-imex", "nvidia-imex-ctl", "nvidia-smi"):
        assert os.access(made.programs / name, os.X_OK)
    assert (made.root / "usr/lib64/libnvidia-ml.so.1").is_file()
    assert (made.proc_driver / "params").read_text() == "EnableMSI: 1\nImexChannelCount: 64\n"
    capability = (made.proc_driver / "capabilities/fabric-imex-mgmt").read_text()
    assert capability == "DeviceFileMinor: 9\nDeviceFileMode: 256\nDeviceFileModify: 1\n"
    assert "507 nvidia-caps-imex-channels\n508 nvidia-caps\n\nBlock" in made.proc_devices.read_text()


def test_a_driver_without_imex_has_no_channels():
    """Without a channel major the line is missing, as on a driver that was built without IMEX."""
    assert "imex" not in proc_devices_text(ChannelNumbers(None, 508))


async def test_pretend_smi_shows_the_hardware(tmp_path):
    """The program runs and shows the node's GPUs."""
    made = make_driver_root(tmp_path)
    node = write_rack_node(made.hardware, "node-a")
    smi = await asyncio.create_subprocess_exec(made.programs / "nvidia-smi", stdout=asyncio.subprocess.PIPE)
    out, _ = await smi.communicate()
    assert node.gpus[0].uuid in out.decode()
