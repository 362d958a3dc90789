"""A damaged NVML library: every answer it may give is a reading or an error in the reading, and memory stays in bounds."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nvdra.adapters.driver_root import DriverRoot
from nvdra.adapters.nvml import MOST_GPUS, NvmlLibrary

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="the damaged NVML is C, and there is no gcc")
SOURCE = r"""
#include <stdio.h>
#include <string.h>
/* Every answer is read from the file SCRIPT: count, return codes, and bytes that stand for every text and structure. */
static int codes[8]; static unsigned count; static unsigned char bytes[64];
int nvmlInitWithFlags(unsigned flags) {
    FILE *f = fopen(SCRIPT, "rb"); if (!f) return 999;
    size_t got = fread(codes, sizeof codes, 1, f) + fread(&count, sizeof count, 1, f) + fread(bytes, 1, sizeof bytes, f);
    fclose(f); return got ? codes[0] : 999;
}
int nvmlShutdown(void) { return codes[1]; }
const char *nvmlErrorString(int code) { return (const char *)"\xff\xfe"; }
int nvmlSystemGetDriverVersion(char *out, unsigned size) { memcpy(out, bytes, size < 64 ? size : 64); return codes[2]; }
int nvmlDeviceGetCount_v2(unsigned *out) { *out = count; return codes[3]; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **out) { *out = (void *)1L; return codes[4]; }
int nvmlDeviceGetUUID(void *gpu, char *out, unsigned size) { memcpy(out, bytes, size < 64 ? size : 64); return codes[5]; }
int nvmlDeviceGetGpuFabricInfoV(void *gpu, unsigned char *out) { memcpy(out + 4, bytes, 28); return codes[6]; }
int nvmlDeviceGetGpuFabricInfo(void *gpu, unsigned char *out) { memcpy(out, bytes, 28); return codes[7]; }
"""
CODES = st.lists(
    st.one_of(st.just(0), st.just(0), st.integers(0, 30), st.integers(-(2**31), 2**31 - 1)), min_size=8, max_size=8
)


def damaged(folder: Path) -> tuple[NvmlLibrary, Path]:
    library, script = folder / "usr/lib64/libnvidia-ml.so.1", folder / "script"
    library.parent.mkdir(parents=True)
    (folder / "damaged.c").write_text(SOURCE)
    command = ["gcc", "-shared", "-fPIC", "-w", f'-DSCRIPT="{script}"', "-o", str(library), str(folder / "damaged.c")]
    subprocess.run(command, check=True)
    return NvmlLibrary(DriverRoot(folder)), script


@given(
    CODES,
    st.one_of(st.integers(0, 4), st.sampled_from([MOST_GPUS + 1, 2**32 - 1])),
    st.binary(min_size=64, max_size=64),
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_answer_of_the_library(tmp_path: Path, codes: list[int], count: int, content: bytes) -> None:
    """Whatever it answers, a look ends with GPUs or with a reason."""
    made = tmp_path / "made"
    library, script = (NvmlLibrary(DriverRoot(made)), made / "script") if made.exists() else damaged(made)
    script.write_bytes(
        b"".join(code.to_bytes(4, "little", signed=True) for code in codes) + count.to_bytes(4, "little") + content
    )
    reading = library._read_now()
    assert len(reading.gpus) <= MOST_GPUS
    assert len(reading.error) < 4000
    if any(codes[:4]) or count > MOST_GPUS:
        assert reading.error
