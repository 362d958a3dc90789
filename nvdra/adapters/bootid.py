"""Which boot of this node we live in: what was made in an earlier one (device nodes, mounts) may be gone."""

from pathlib import Path
from typing import Final

from nvdra.errors import ConfigError

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def read_boot_id(path: Path = BOOT_ID) -> str:
    """The kernel's boot id, or that of a file that stands for it."""
    try:
        boot_id = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the boot id from {path}: {error}") from error
    if not boot_id:
        raise ConfigError(f"{path} holds no boot id: it is empty")
    return boot_id
