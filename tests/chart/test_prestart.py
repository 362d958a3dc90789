"""The init container waits for the driver, and explains what is missing so that one knows what to do."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from nvdra.adapters.driver_root import DriverRoot
from nvdra.apps.prestart import CONTAINER_ROOT, advice, missing, wait


def a_root(folder: Path, on_host: str = "/") -> DriverRoot:
    folder.mkdir(parents=True, exist_ok=True)
    return DriverRoot(folder, PurePosixPath(on_host))


def put(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


async def until(holds: Callable[[], bool]) -> None:
    while True:
        if holds():
            return
        await asyncio.sleep(0.005)


DRIVER = ("usr/lib64/libnvidia-ml.so.1", "usr/bin/nvidia-smi")


async def test_a_complete_driver_is_no_wait(tmp_path: Path):
    """It says what it found, and that is all."""
    put(tmp_path, *DRIVER, "usr/bin/nvidia-imex")
    said: list[str] = []

    await wait(a_root(tmp_path), said.append)

    assert said == [f"driver found in /: {tmp_path}/usr/lib64/libnvidia-ml.so.1, {tmp_path}/usr/bin/nvidia-smi"]


async def test_a_driver_that_comes_late(tmp_path: Path):
    """While it is missing that is said at once and then again, and when it is there the wait ends."""
    said: list[str] = []
    waiting = asyncio.ensure_future(wait(a_root(tmp_path), said.append, 0.005, 0.02))
    async with asyncio.timeout(10):
        await until(lambda: len(said) > 2)
        put(tmp_path, *DRIVER)
        await waiting

    assert said[0] == said[1]
    assert said[0].startswith("waiting: driver root / ")
    assert "no libnvidia-ml.so.1 in" in said[0]
    assert "no nvidia-smi in" in said[0]
    assert "nvidia-imex is not in" in said[-1]


@pytest.mark.parametrize(("there", "lacking"), [(DRIVER[:1], "nvidia-smi"), (DRIVER[1:], "libnvidia-ml.so.1")])
def test_half_a_driver_is_none(tmp_path: Path, there: tuple[str, ...], lacking: str):
    """Only what is missing is named."""
    put(tmp_path, *there)
    said = missing(a_root(tmp_path))

    assert f"no {lacking} in" in said
    assert not any(f"no {name.rpartition('/')[2]} in" in said for name in there)


def test_the_root_of_the_node_though_a_container_has_the_driver(tmp_path: Path):
    """With root / and the GPU Operator's driver in sight, it names the value to set."""
    put(tmp_path / CONTAINER_ROOT[1:], *DRIVER)

    assert advice(a_root(tmp_path)) == [
        f"there is a driver in {CONTAINER_ROOT} of this node: install with --set nvidiaDriverRoot={CONTAINER_ROOT}"
    ]


def test_no_driver_anywhere(tmp_path: Path):
    """With root / and nothing in sight: install one, or say where it will be."""
    said = advice(a_root(tmp_path))

    assert [("not installed" in said[0]), (f"nvidiaDriverRoot={CONTAINER_ROOT}" in said[1])] == [True, True]


@pytest.mark.parametrize("on_host", [CONTAINER_ROOT, "/opt/nvidia"])
def test_an_empty_root(tmp_path: Path, on_host: str):
    """An empty or absent folder is called so; of the GPU Operator's, its pod is asked about."""
    for folder in (tmp_path / "empty", tmp_path / "absent"):
        said = "\n".join(advice(DriverRoot(folder, PurePosixPath(on_host))))
        assert "is empty or absent on this node" in said
        assert "--set nvidiaDriverRoot=/" in said
        assert ("driver pod" in said) == (on_host == CONTAINER_ROOT)


def test_a_root_that_is_none(tmp_path: Path):
    """A folder that holds other things is described by what it holds."""
    put(tmp_path, "toolkit/x", "validations/y")

    assert "holds toolkit, validations" in advice(a_root(tmp_path, "/run/nvidia"))[0]


def test_the_command_ends_when_told(tmp_path: Path):
    """`nvdra prestart` reads its environment, says what it waits for, and ends with 0 on SIGTERM."""
    environ = {
        **os.environ,
        "NVIDIA_DRIVER_ROOT": CONTAINER_ROOT,
        "DRIVER_ROOT_CTR_PATH": str(tmp_path),
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "nvdra", "prestart"], env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)

    assert (
        first.startswith(f"waiting: driver root {CONTAINER_ROOT} (seen here at {tmp_path})"),
        process.returncode,
    ) == (True, 0)
