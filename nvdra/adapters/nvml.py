"""One look at NVML at a time: load the driver's own library, read, shut down, unload.

Nothing is held between looks: an open handle keeps the driver from being unloaded. pynvml keeps its library in module
globals, so one lock serves the process; a look that hangs in the kernel keeps its thread and is told, not waited for.
"""

import _ctypes
import asyncio
import ctypes
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from nvdra.adapters.driver_root import LIBRARY_FOLDERS, NVML_LIBRARY, DriverRoot
from nvdra.node import Fabric, Gpu, NvmlReading

TIME_LIMIT: Final = 10.0
MOST_GPUS: Final = 1024
"""More than any node has: what a damaged library says must not fill our memory."""
_one_at_a_time: Final = threading.Lock()


@define
class NvmlLibrary:
    """ports.Nvml over nvidia-ml-py and the `libnvidia-ml.so.1` of a driver root."""

    root: DriverRoot
    time_limit: float = TIME_LIMIT
    _look: "asyncio.Future[NvmlReading] | None" = field(default=None, init=False)

    async def read(self) -> NvmlReading:
        """Open, read, close, in a thread of its own. Never raises: what went wrong is in `error`."""
        if self._look is None or self._look.done():
            try:
                self._look = _in_thread(self._read_now)
            except RuntimeError as error:
                return NvmlReading(error=f"NVML cannot be asked: {error}; is this node at its limit of processes?")
        # Shielded: whoever gives up, the next one finds the same look, and threads do not pile up behind a hanging one.
        done, _ = await asyncio.wait({self._look}, timeout=self.time_limit)
        if not done:
            return NvmlReading(error=f"NVML did not answer within {self.time_limit:g} s: is the driver hanging?")
        return self._look.result()

    def _read_now(self) -> NvmlReading:
        try:
            path = self.root.library(NVML_LIBRARY)
        except OSError as error:  # it is being replaced, perhaps; a look that raised would never be done
            return NvmlReading(error=f"driver root {self.root.on_host} (seen at {self.root.seen}): {error}")
        if path is None:
            return NvmlReading(
                error=f"driver root {self.root.on_host} (seen at {self.root.seen}) has no {NVML_LIBRARY} in "
                f"{', '.join(LIBRARY_FOLDERS)}; is nvidiaDriverRoot right?"
            )
        try:
            with _one_at_a_time, _loaded(path) as pynvml:
                return _reading(pynvml)
        except Exception as error:  # noqa: BLE001  # a probe's edge: ctypes and pynvml raise whatever they meet
            return NvmlReading(error=f"NVML ({path}): {_sentence(error)}")


def _in_thread(look: Any) -> "asyncio.Future[NvmlReading]":
    """A daemon thread, for a hanging driver must not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[NvmlReading] = loop.create_future()

    def run() -> None:
        reading = look()
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody wants to know any more
            loop.call_soon_threadsafe(future.set_result, reading)

    threading.Thread(target=run, name="nvml", daemon=True).start()
    return future


@contextmanager
def _loaded(path: Path) -> Iterator[Any]:
    """NVML of exactly this file, and nothing of it left afterwards."""
    import pynvml

    library = ctypes.CDLL(str(path))
    pynvml.nvmlLib = library
    pynvml._nvmlGetFunctionPointer_cache.clear()  # noqa: SLF001  # it holds functions of the library before
    try:
        # A node may have given all its GPUs away (vfio): that is no error.
        pynvml.nvmlInitWithFlags(pynvml.NVML_INIT_FLAG_NO_GPUS)
        try:
            yield pynvml
        finally:
            pynvml.nvmlShutdown()
    finally:
        pynvml.nvmlLib = None
        pynvml._nvmlGetFunctionPointer_cache.clear()  # noqa: SLF001  # as above
        _ctypes.dlclose(library._handle)  # noqa: SLF001  # ctypes has no public way


def _reading(pynvml: Any) -> NvmlReading:
    driver, count = pynvml.nvmlSystemGetDriverVersion(), pynvml.nvmlDeviceGetCount()
    if count > MOST_GPUS:
        raise RuntimeError(f"it says that there are {count} GPUs, which cannot be: is the driver damaged?")
    gpus = tuple(_gpu(pynvml, index) for index in range(count))
    return NvmlReading(driver_version=driver, gpus=gpus)


def _gpu(pynvml: Any, index: int) -> Gpu:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        return Gpu(index=index, uuid=pynvml.nvmlDeviceGetUUID(handle), fabric=_fabric(pynvml, handle))
    except pynvml.NVMLError as error:
        raise RuntimeError(f"GPU {index}: {error}") from error


def _fabric(pynvml: Any, handle: Any) -> Fabric | None:
    """None where NVML says NOT_SUPPORTED. Drivers that do not know the versioned call get the plain one."""
    try:
        info = pynvml.c_nvmlGpuFabricInfo_v2_t()
        pynvml.nvmlDeviceGetGpuFabricInfoV(handle, ctypes.byref(info))
        return _as_fabric(info)
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_NOT_SUPPORTED:
            return None
        if error.value not in {pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH}:
            raise
    try:
        info = pynvml.c_nvmlGpuFabricInfo_t()
        pynvml.nvmlDeviceGetGpuFabricInfo(handle, ctypes.byref(info))
        return _as_fabric(info)
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_NOT_SUPPORTED:
            return None
        raise


def _as_fabric(info: Any) -> Fabric:
    cluster = uuid.UUID(bytes=bytes(info.clusterUuid))
    return Fabric(
        state=int(info.state), status=int(info.status), cluster_uuid=str(cluster), clique_id=int(info.cliqueId)
    )


def _sentence(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if isinstance(error, OSError | RuntimeError) else f"{type(error).__name__}: {text}"
