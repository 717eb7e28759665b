"""The libraries that GPU providers need: loaded from installed packages, registered, and named when missing."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import importlib.util
import io
import sys
import warnings
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrhpi.backends.ort.names import CUDA, INSTALL_GPU, NAME
from ocrhpi.errors import BackendError, BackendMismatch, BackendUnavailable

if TYPE_CHECKING:
    from ocrhpi.backends.ort.names import OnnxRuntime

CUDA_MODULE = "onnxruntime_ep_cuda"
RTX_MODULE = "onnxruntime_ep_nv_tensorrt_rtx"
_RTX_PACKAGES = ("onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime-ep-nv-tensorrt-rtx-cu12")
_TENSORRT_MODULE = "tensorrt_libs"  # of the packages tensorrt-cu12-libs and tensorrt-cu13-libs
_TENSORRT_PACKAGES = ("tensorrt-cu13-libs", "tensorrt-cu12-libs", "tensorrt-cu13", "tensorrt-cu12", "tensorrt")
_TENSORRT_LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")  # in the order in which they need each other


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


def load_tensorrt() -> str:
    """Load TensorRT's libraries, if they are installed as a Python package; return why one could not be loaded."""
    spec = importlib.util.find_spec(_TENSORRT_MODULE)
    if spec is None or not spec.submodule_search_locations:
        return ""
    folder = Path(next(iter(spec.submodule_search_locations)))
    patterns = "{}_[0-9]*.dll" if sys.platform == "win32" else "lib{}.so.[0-9]*"
    found = [sorted(folder.glob(patterns.format(name)))[:1] for name in _TENSORRT_LIBRARIES]
    try:
        for library in chain.from_iterable(found):
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return str(error)
    return ""


def tensorrt_version() -> str:
    """Return the version of the installed TensorRT package, or ``system`` where a library of the system is used."""
    return _first_version(_TENSORRT_PACKAGES) or "system"


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


def why_not_loaded(onnxruntime: OnnxRuntime, provider: str) -> str:
    """Return the loader's reason why the library of a provider that ONNX Runtime just gave up does not load.

    Args:
        onnxruntime: The module.
        provider: ``cuda`` or ``tensorrt``, as in the library's file name.
    """
    file_name = f"onnxruntime_providers_{provider}"
    file_name = f"{file_name}.dll" if sys.platform == "win32" else f"lib{file_name}.so"
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
