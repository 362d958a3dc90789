import asyncio
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from nvdra.adapters.driver_root import DriverRoot
from nvdra.adapters.nvml import NvmlLibrary
from nvdra.node import Fabric, Gpu, NvmlReading

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="the mock NVML is C, and there is no gcc")

SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* As much of NVML as one look needs. GPU 0 is in a fabric, GPU 1 as -DSECOND says. */
#ifndef INIT
#define INIT 0
#endif
#ifndef SECOND
#define SECOND 0
#endif
typedef struct { unsigned char uuid[16]; unsigned status, clique; unsigned state; } v1_t;
typedef struct { unsigned version; unsigned char uuid[16]; unsigned status, clique; unsigned state, mask; } v2_t;
static void note(const char *what) {
    FILE *log = fopen(LOG, "a");
    if (log) { fprintf(log, "%s\n", what); fclose(log); }
}
__attribute__((destructor)) static void unloaded(void) { note("unloaded"); }
int nvmlInitWithFlags(unsigned flags) {
    note(flags == 1 ? "init without GPUs" : "init");
#ifdef HANG
    while (access(HANG, F_OK) != 0) usleep(1000);
#endif
    return INIT;
}
int nvmlShutdown(void) { note("shutdown"); return 0; }
const char *nvmlErrorString(int code) { return "told by the library"; }
int nvmlSystemGetDriverVersion(char *out, unsigned size) { strncpy(out, VERSION, size); return 0; }
int nvmlDeviceGetCount_v2(unsigned *out) { *out = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out) { *out = (void *)(long)(index + 1); return 0; }
int nvmlDeviceGetUUID(void *gpu, char *out, unsigned size) { snprintf(out, size, "GPU-%ld", (long)gpu - 1); return 0; }
static int fill(void *gpu, unsigned char *uuid, unsigned *status, unsigned *clique, unsigned *state) {
    if ((long)gpu == 2 && SECOND) return SECOND;
    for (int i = 0; i < 16; i++) uuid[i] = i;
    *status = 0; *clique = 32766; *state = 3;
    return 0;
}
#ifndef OLD
int nvmlDeviceGetGpuFabricInfoV(void *gpu, v2_t *out) {
    if (out->version != (sizeof(v2_t) | 2 << 24)) return 25;
    note("fabric v2");
    return fill(gpu, out->uuid, &out->status, &out->clique, &out->state);
}
#endif
int nvmlDeviceGetGpuFabricInfo(void *gpu, v1_t *out) {
    note("fabric v1");
    return fill(gpu, out->uuid, &out->status, &out->clique, &out->state);
}
"""
FABRIC = Fabric(state=3, status=0, cluster_uuid="00010203-0405-0607-0809-0a0b0c0d0e0f", clique_id=32766)
BOTH = (Gpu(0, "GPU-0", FABRIC), Gpu(1, "GPU-1", FABRIC))


def a_driver(root: Path, version: str = "570.158.01", **defines: object) -> DriverRoot:
    """A driver root with a mock NVML, compiled for the purpose."""
    library = root / "usr" / "lib64" / "libnvidia-ml.so.1"
    library.parent.mkdir(parents=True)
    (root / "mock.c").write_text(SOURCE)
    flags = [f"-D{name}={value}" for name, value in defines.items()]
    flags += [f'-DVERSION="{version}"', f'-DLOG="{root / "log"}"']
    command = ["gcc", "-shared", "-fPIC", "-w", *flags, "-o", str(library), str(root / "mock.c")]
    subprocess.run(command, check=True)
    return DriverRoot(root)


def log_of(root: DriverRoot) -> list[str]:
    return (root.seen / "log").read_text().splitlines()


def mapped(root: DriverRoot) -> bool:
    return str(root.seen) in Path("/proc/self/maps").read_text()


async def test_one_look_reads_all_and_leaves_nothing_loaded(tmp_path: Path) -> None:
    """Version and GPUs are read, NVML is opened without GPUs and shut down, and the library is unloaded again."""
    root = a_driver(tmp_path)

    assert await NvmlLibrary(root).read() == NvmlReading(driver_version="570.158.01", gpus=BOTH)
    assert log_of(root) == ["init without GPUs", "fabric v2", "fabric v2", "shutdown", "unloaded"]
    assert not mapped(root)


async def test_another_driver_is_seen_at_the_next_look(tmp_path: Path) -> None:
    """Two roots in one process, one after the other, each answer with their own library."""
    old, new = a_driver(tmp_path / "old", "570.158.01"), a_driver(tmp_path / "new", "580.65.06")
    versions = [(await NvmlLibrary(root).read()).driver_version for root in (old, new, old)]

    assert versions == ["570.158.01", "580.65.06", "570.158.01"]


async def test_older_drivers_are_asked_the_older_way(tmp_path: Path) -> None:
    """Without the versioned call the plain one answers."""
    root = a_driver(tmp_path, OLD=1)

    assert (await NvmlLibrary(root).read()).gpus == BOTH
    assert "fabric v1" in log_of(root)


async def test_not_supported_is_no_fabric(tmp_path: Path) -> None:
    """NVML's NOT_SUPPORTED for a GPU is an answer, not an error."""
    root = a_driver(tmp_path, SECOND=3)

    assert (await NvmlLibrary(root).read()).gpus == (BOTH[0], Gpu(1, "GPU-1", None))


async def test_an_error_of_one_gpu_names_it(tmp_path: Path) -> None:
    """Another error than NOT_SUPPORTED empties the reading and names GPU and error; NVML is shut down all the same."""
    root = a_driver(tmp_path, SECOND=15)
    reading = await NvmlLibrary(root).read()

    assert (reading.gpus, reading.driver_version) == ((), "")
    assert "GPU 1: GPU is lost" in reading.error
    assert log_of(root)[-2:] == ["shutdown", "unloaded"]
    assert not mapped(root)


async def test_a_driver_that_is_not_loaded_is_named(tmp_path: Path) -> None:
    """When NVML does not open, its reason is told with the library's path, and the library goes again."""
    root = a_driver(tmp_path, INIT=9)
    error = (await NvmlLibrary(root).read()).error

    assert f"NVML ({tmp_path}/usr/lib64/libnvidia-ml.so.1): " in error
    assert "Driver Not Loaded" in error
    assert not mapped(root)


async def test_a_root_without_library_says_where_it_was_sought(tmp_path: Path) -> None:
    """A wrong driver root is named, with the folders, until the driver arrives."""
    nvml = NvmlLibrary(DriverRoot(tmp_path))
    error = (await nvml.read()).error
    assert f"driver root / (seen at {tmp_path}) has no libnvidia-ml.so.1 in /, /usr/lib64," in error
    assert "is nvidiaDriverRoot right?" in error
    a_driver(tmp_path)
    assert not (await nvml.read()).error


async def test_a_root_that_cannot_be_read_is_told_and_looked_at_again(tmp_path: Path) -> None:
    """As while a driver is replaced: the next look finds what is there by then, and none waits for one that failed."""
    folder = tmp_path / "driver/usr/lib64"
    folder.parent.mkdir(parents=True)
    folder.symlink_to("x" * 300)  # no file system has such a name
    library = NvmlLibrary(DriverRoot(tmp_path / "driver"), time_limit=5)
    async with asyncio.timeout(4):
        first = await library.read()
    assert "File name too long" in first.error
    folder.unlink()
    async with asyncio.timeout(4):
        second = await library.read()
    assert "has no libnvidia-ml.so.1" in second.error


async def test_a_node_without_threads_to_spare_is_told(tmp_path: Path, monkeypatch) -> None:
    """At the node's limit of processes a look fails like any other; the next one finds what is there."""
    library = NvmlLibrary(DriverRoot(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", _full)
        assert "can't start new thread" in (await library.read()).error
    assert "has no libnvidia-ml.so.1" in (await library.read()).error


def _full(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


async def test_a_library_that_is_none_is_named(tmp_path: Path) -> None:
    """A broken file is told as the loader tells it."""
    library = tmp_path / "libnvidia-ml.so.1"
    library.write_text("not ELF, and long enough to have a header that could be one if it were" * 9)

    assert "invalid ELF header" in (await NvmlLibrary(DriverRoot(tmp_path)).read()).error


async def test_a_hanging_driver_is_told_and_not_asked_twice(tmp_path: Path) -> None:
    """A look that takes too long is an error of that reading; the next waits for the same look instead of opening another."""
    go_on = tmp_path / "go-on"
    root = a_driver(tmp_path / "root", HANG=f'"{go_on}"')
    nvml = NvmlLibrary(root, time_limit=0.05)
    readings = await asyncio.gather(nvml.read(), nvml.read())
    assert ["did not answer within" in reading.error for reading in readings] == [True, True]
    go_on.touch()
    nvml.time_limit = 10
    assert (await nvml.read()).gpus == BOTH
    assert log_of(root).count("init without GPUs") == 1
