"""NVIDIA's driver, asked directly, and the libraries that GPU providers need: loaded, registered, named when missing.

Functions and constants: CUDA Driver API, https://docs.nvidia.com/cuda/cuda-driver-api/.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import importlib.util
import io
import mmap
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.backends.ort.options import CUDA, INSTALL_GPU, NAME
from ocrhpi.errors import BackendError, BackendMismatch, BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from ocrhpi.backends.ort.options import OnnxRuntime

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_SUCCESS = 0
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
_PORTABLE = 1  # CU_MEMHOSTREGISTER_PORTABLE: locked for every context, and so for the engine's
_NAME_BYTES = 256


@dataclass(frozen=True)
class GpuFacts:
    """What decides which compiled code runs on a GPU.

    Attributes:
        name: Its name, such as ``NVIDIA L4``.
        compute_capability: Such as ``8.9``.
        driver_cuda: Newest version of CUDA that the driver runs, such as ``13.0``.
    """

    name: str
    compute_capability: str
    driver_cuda: str


def load_driver() -> Any:  # noqa: ANN401 - a foreign library
    """Load the driver's library and start it.

    Raises:
        BackendError: There is none, or it finds no GPU.
    """
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        reason = f"NVIDIA's driver is not installed, or not visible in this container ({error})"
        raise BackendError("cuda", f"{reason}; 'nvidia-smi' must list the GPU") from error
    _call(driver, "cuInit", 0)
    return driver


def gpu_facts(index: int) -> GpuFacts:
    """Return what GPU ``index`` is, counted as CUDA counts: within ``CUDA_VISIBLE_DEVICES``.

    Raises:
        BackendError: There is no driver, or no such GPU.
    """
    driver = load_driver()
    device = _device(driver, index)
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _call(driver, "cuDeviceGetName", name, _NAME_BYTES, device)
    capability = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        _call(driver, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        capability.append(str(value.value))
    version = ctypes.c_int()
    _call(driver, "cuDriverGetVersion", ctypes.byref(version))
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return GpuFacts(name.value.decode("utf-8", "replace"), ".".join(capability), cuda)


class PageLocked:
    """Arrays whose memory the driver has locked, so that the GPU fetches them without a second copy.

    Args:
        index: GPU whose context locks them.
        like: Arrays whose shapes and dtypes they have.

    Attributes:
        arrays: They; not to be used after `close`.

    Raises:
        BackendError: The driver refused, for example since too much memory is locked already.
    """

    def __init__(self, index: int, like: Sequence[npt.NDArray[Any]]) -> None:
        self._driver = load_driver()
        self._gpu = _device(self._driver, index)
        self.arrays = [_page_aligned(array) for array in like]
        self._locked: list[npt.NDArray[Any]] = []
        self._context = ctypes.c_void_p()
        # The primary context, which CUDA's runtime and so every engine uses.
        _call(self._driver, "cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._gpu)
        try:
            self._in_context(self._lock)
        except BackendError:
            self.close()
            raise

    def close(self) -> None:
        """Unlock all; closing twice is fine."""
        if self._context:
            self._in_context(self._unlock)
            _call(self._driver, "cuDevicePrimaryCtxRelease_v2", self._gpu)
            self._context = ctypes.c_void_p()

    def _lock(self) -> None:
        for array in self.arrays:
            address, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
            _call(self._driver, "cuMemHostRegister_v2", address, size, _PORTABLE)
            self._locked.append(array)

    def _unlock(self) -> None:
        while self._locked:
            _call(self._driver, "cuMemHostUnregister", ctypes.c_void_p(self._locked.pop().ctypes.data))

    def _in_context(self, action: Callable[[], None]) -> None:
        _call(self._driver, "cuCtxPushCurrent_v2", self._context)
        try:
            action()
        finally:
            _call(self._driver, "cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))


def _page_aligned(like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of pages of its own: a page can be locked once only."""
    memory = mmap.mmap(-1, max(1, like.nbytes))
    return np.frombuffer(memory, like.dtype, like.size).reshape(like.shape)


def _device(driver: Any, index: int) -> ctypes.c_int:  # noqa: ANN401
    device = ctypes.c_int()
    _call(driver, "cuDeviceGet", ctypes.byref(device), index)
    return device


def _call(driver: Any, function: str, *arguments: Any) -> None:  # noqa: ANN401
    code = getattr(driver, function)(*arguments)
    if code != _SUCCESS:
        raise BackendError("cuda", f"{function} of NVIDIA's driver failed: {_error_name(driver, code)}")


def _error_name(driver: Any, code: int) -> str:  # noqa: ANN401
    name = ctypes.c_char_p()
    if driver.cuGetErrorName(code, ctypes.byref(name)) == _SUCCESS and name.value:
        return f"{name.value.decode()} ({code})"
    return f"error {code}"


CUDA_MODULE = "onnxruntime_ep_cuda"
RTX_MODULE = "onnxruntime_ep_nv_tensorrt_rtx"
_RTX_PACKAGES = ("onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime-ep-nv-tensorrt-rtx-cu12")


def load_cuda(onnxruntime: OnnxRuntime) -> str:
    """Load the libraries of CUDA and cuDNN that are installed as Python packages.

    Returns:
        What ONNX Runtime says of those that it did not find there or on the system; it prints that, and goes on.
    """
    if not hasattr(onnxruntime, "preload_dlls"):  # before 1.21
        return ""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        onnxruntime.preload_dlls()
    return " ".join(" ".join([said.getvalue(), *(str(warning.message) for warning in warned)]).split())


def rtx_version() -> str:
    """Return the version of the installed plugin with TensorRT for RTX, or an empty string."""
    return _first_version(_RTX_PACKAGES)


def require_cuda(onnxruntime: OnnxRuntime, asked: str) -> None:
    """See that there is a CUDA provider: a part of this build, a plugin that it registers itself, or one installed.

    Args:
        onnxruntime: The module; CUDA's libraries are loaded.
        asked: What the user asked for, as a phrase.

    Raises:
        BackendMismatch: There is none.
        BackendError: The plugin cannot be loaded.
    """
    available = [*onnxruntime.get_available_providers(), *_registered(onnxruntime)]
    if CUDA in available:
        return
    if importlib.util.find_spec(CUDA_MODULE) is None:
        found = f"the installed ONNX Runtime has no {CUDA}, only {', '.join(dict.fromkeys(available))}"
        raise BackendMismatch(NAME, asked, f"{found}; {INSTALL_GPU}, in place of the package 'onnxruntime'")
    register_plugin(onnxruntime, CUDA_MODULE, "cuda", INSTALL_GPU)


def register_plugin(onnxruntime: OnnxRuntime, module: str, provider: str, install: str) -> str:
    """Register an installed plugin, once in a process; return ONNX Runtime's name of its provider.

    Args:
        onnxruntime: The module.
        module: Module of the plugin, which knows its name and its library.
        provider: Our name of the provider, for messages.
        install: The command that installs the plugin.

    Raises:
        BackendUnavailable: The plugin is not installed, or does not import.
        BackendMismatch: This ONNX Runtime takes no plugins.
        BackendError: The plugin cannot be loaded.
    """
    if not hasattr(onnxruntime, "register_execution_provider_library"):
        found = f"ONNX Runtime {onnxruntime.__version__} takes no plugins; install 1.24 or newer"
        raise BackendMismatch(NAME, f"provider {provider}", found)
    try:
        plugin = importlib.import_module(module)
    except ImportError as error:
        raise BackendUnavailable(NAME, f"provider {provider}: {error}", install) from error
    name = str(plugin.get_ep_name())
    if name not in _registered(onnxruntime):
        try:
            onnxruntime.register_execution_provider_library(name, plugin.get_library_path())
        except Exception as error:
            # Registered before, without a device that would show it.
            if "already registered" not in str(error).lower():
                reason = " ".join(str(error).split())
                raise BackendError(NAME, f"the plugin {module} cannot be loaded: {reason}") from error
    return name


def _registered(onnxruntime: OnnxRuntime) -> list[str]:
    """Return the names of providers that know a device here."""
    devices = onnxruntime.get_ep_devices() if hasattr(onnxruntime, "get_ep_devices") else ()
    return [str(device.ep_name) for device in devices]


def rtx_device(onnxruntime: OnnxRuntime, name: str, index: int) -> Any:  # noqa: ANN401 - onnxruntime.OrtEpDevice
    """Return GPU ``index`` of the registered plugin.

    Raises:
        BackendMismatch: The plugin does not run on it.
    """
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]
    numbered = {int(device.ep_options.get("device_id", at)): device for at, device in enumerate(devices)}
    if index not in numbered:
        found = ", ".join(f"gpu:{number}" for number in sorted(numbered)) or "no GPU"
        needs = "it needs an NVIDIA GPU of the Ampere generation or later and a driver for its CUDA"
        raise BackendMismatch(NAME, f"device gpu:{index} with tensorrt-rtx", f"TensorRT for RTX finds {found}; {needs}")
    return numbered[index]


def why_cuda_not_loaded(onnxruntime: OnnxRuntime) -> str:
    """Return the reason why the library of the CUDA provider, which ONNX Runtime just gave up, does not load."""
    windows = sys.platform == "win32"
    file_name = "onnxruntime_providers_cuda.dll" if windows else "libonnxruntime_providers_cuda.so"
    library = Path(onnxruntime.__file__).parent / "capi" / file_name
    if not library.is_file():
        return f"the installed package has no {file_name}"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return str(error)
    return ""


def _first_version(packages: tuple[str, ...]) -> str:
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(package)
    return ""
