"""The NVIDIA driver's numbers from /proc: majors, how many IMEX channels, the minor of the IMEX capability.

Read anew at each look: a driver that is loaded again may come back with other majors (the Go driver kept the first).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from nvdra.node import ChannelNumbers

CHANNELS_DEVICE: Final = "nvidia-caps-imex-channels"
CAPS_DEVICE: Final = "nvidia-caps"
DEFAULT_CHANNELS: Final = 2048
"""What the driver makes when NVreg_ImexChannelCount is not set, or the driver is too old to say."""
_CHARACTER_DEVICES: Final = "Character devices:"


@frozen
class ProcFiles:
    """ports.ProcDevices. A file may stand for /proc/devices, a folder for the driver's."""

    devices: Path = Path("/proc/devices")
    driver: Path = Path("/proc/driver/nvidia")

    def read(self) -> ChannelNumbers:
        """Read all. What goes wrong is in `error`, beside what could be read."""
        faults: list[str] = []
        majors = dict(_character_devices(_lines(self.devices, faults, needed=True)))
        channels = _number(self.driver / "params", "ImexChannelCount", faults)
        return ChannelNumbers(
            channel_major=majors.get(CHANNELS_DEVICE),
            caps_major=majors.get(CAPS_DEVICE),
            channels=DEFAULT_CHANNELS if channels is None else channels,
            imex_mgmt_minor=_number(self.driver / "capabilities" / "fabric-imex-mgmt", "DeviceFileMinor", faults),
            error="; ".join(faults),
        )


def _lines(path: Path, faults: list[str], *, needed: bool = False) -> list[str]:
    """The file's lines; none, and a fault where it is needed, when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError as error:
        if needed:
            faults.append(f"cannot read {path}: {error.strerror}")
    except OSError as error:
        faults.append(f"cannot read {path}: {error.strerror}")
    return []


def _character_devices(lines: list[str]) -> Iterator[tuple[str, int]]:
    """Name and major of each line of the section, whole names only: nvidia-caps begins other names too (#297)."""
    within = False
    for line in lines:
        if line.strip().endswith("devices:"):
            within = line.strip() == _CHARACTER_DEVICES
            continue
        major, _, name = line.strip().partition(" ")
        if within and _is_number(major):
            yield name, int(major)


def _number(path: Path, key: str, faults: list[str]) -> int | None:
    """The number behind `key: ` in that file, or None."""
    for line in _lines(path, faults):
        name, colon, value = line.partition(":")
        if not colon or name.strip() != key:
            continue
        if _is_number(value.strip()):
            return int(value)
        faults.append(f"{path}: {key} is {value.strip()!r}, a number is expected")
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
