"""Where a rack stands: a folder, in memory where that is, and a block of loopback addresses of its own."""

import os
import random
import socket
import subprocess
import tempfile
from pathlib import Path

IN_MEMORY = Path("/dev/shm")
_GUARD_PORT = 50001


def scratch() -> Path:
    """A new folder. In memory, `ls` of a container's devices says "total 0" as on a real node; else on the disk."""
    if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK):
        folder = Path(tempfile.mkdtemp(prefix="nvdra-", dir=IN_MEMORY))
        if _executes(folder):
            return folder
        folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="nvdra-"))


def _executes(folder: Path) -> bool:
    """Some systems mount it noexec, and the pretend driver has programs."""
    script = folder / "try"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    try:
        return subprocess.run([script], check=False).returncode == 0
    except OSError:
        return False
    finally:
        script.unlink()


class Block:
    """The loopback addresses 127.<octet>.x.y: racks of one machine share its ports, so each has its own block."""

    def __init__(self) -> None:
        for octet in random.sample(range(16, 250), 100):
            guard = socket.socket()
            try:
                guard.bind((f"127.{octet}.255.254", _GUARD_PORT))
            except OSError:
                guard.close()
                continue
            self.octet, self._guard = octet, guard
            return
        raise OSError("no block of loopback addresses is free")

    def give_back(self) -> None:
        """Others may have it now."""
        self._guard.close()
