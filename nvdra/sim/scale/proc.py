"""What a process costs, read from /proc: resident memory now and at its peak, and CPU seconds."""

import os
from pathlib import Path

from attrs import frozen

from nvdra.errors import NvdraError

_TICKS = os.sysconf("SC_CLK_TCK")


@frozen
class Usage:
    """One look at a process. Memory in MiB."""

    cpu: float
    resident: float
    peak: float

    @classmethod
    def of(cls, pid: int) -> "Usage":
        """Of that process, now."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError as error:
            raise NvdraError(f"process {pid} has ended: {error}") from error
        said = dict(line.split(":", 1) for line in lines if ":" in line)
        return cls((int(stat[11]) + int(stat[12])) / _TICKS, _mib(said, "VmRSS"), _mib(said, "VmHWM"))


def _mib(said: dict[str, str], name: str) -> float:
    return int(said.get(name, "0 kB").split()[0]) / 1024


def machine() -> str:
    """What it was measured on."""
    cpus = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    number, model = len(os.sched_getaffinity(0)), cpus[0] if cpus else "unknown"
    return f"{number} processors {model}, {int(memory) // 1024 // 1024} GiB, Linux {os.uname().release}"


def load() -> float:
    """The load of the last minute, over one of the processors: more than 1 says that others were at work."""
    return os.getloadavg()[0]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
