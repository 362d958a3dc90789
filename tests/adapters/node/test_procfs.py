from pathlib import Path

import pytest

from nvdra.adapters.procfs import ProcFiles
from nvdra.node import ChannelNumbers

DEVICES = """Character devices:
  1 mem
195 nvidia
195 nvidiactl
234 nvidia-caps
235 nvidia-caps-imex-channels-not
236 nvidia-caps-imex-channels
511 nvidia-uvm

Block devices:
259 blkext
777 nvidia-caps
"""


@pytest.fixture
def proc(tmp_path: Path) -> ProcFiles:
    (tmp_path / "devices").write_text(DEVICES)
    (tmp_path / "nvidia" / "capabilities").mkdir(parents=True)
    return ProcFiles(devices=tmp_path / "devices", driver=tmp_path / "nvidia")


def test_all_numbers_are_read(proc: ProcFiles) -> None:
    """Majors by whole names in the right section, the number of channels, the minor of the capability."""
    (proc.driver / "params").write_text('EnableMSI: 1\nImexChannelCount: 16\nRegistryDwords: ""\n')
    capability = "DeviceFileMinor: 3\nDeviceFileMode: 256\nDeviceFileModify: 1\n"
    (proc.driver / "capabilities" / "fabric-imex-mgmt").write_text(capability)

    assert proc.read() == ChannelNumbers(channel_major=236, caps_major=234, channels=16, imex_mgmt_minor=3)


def test_what_the_driver_does_not_say_has_its_default(proc: ProcFiles) -> None:
    """No params, no capability: 2048 channels, no minor, and no error."""
    assert proc.read() == ChannelNumbers(channel_major=236, caps_major=234, channels=2048)


def test_a_driver_without_imex_has_no_major(proc: ProcFiles) -> None:
    """Other drivers' majors are nobody's fault."""
    proc.devices.write_text("Character devices:\n  1 mem\n195 nvidia\n")

    assert proc.read() == ChannelNumbers()


def test_each_look_is_new(proc: ProcFiles) -> None:
    """A driver that was loaded again with another major is seen."""
    assert proc.read().channel_major == 236
    proc.devices.write_text(DEVICES.replace("236", "240"))
    assert proc.read().channel_major == 240


def test_errors_name_the_file_and_keep_the_rest(proc: ProcFiles) -> None:
    """A missing devices file and a strange number are told; what could be read stands."""
    proc.devices.unlink()
    (proc.driver / "params").write_text("ImexChannelCount: many\n")
    (proc.driver / "capabilities" / "fabric-imex-mgmt").write_text("DeviceFileMinor: 3\n")
    reading = proc.read()

    assert (reading.channel_major, reading.channels, reading.imex_mgmt_minor) == (None, 2048, 3)
    assert f"cannot read {proc.devices}: No such file" in reading.error
    assert f"{proc.driver / 'params'}: ImexChannelCount is 'many'" in reading.error


def test_this_machine_can_be_read() -> None:
    """The kernel's own files parse, with or without a GPU."""
    assert not ProcFiles().read().error
