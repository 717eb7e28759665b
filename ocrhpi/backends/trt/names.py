"""Names for the untyped modules and objects that are passed around here, and what errors call the backend."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

NAME: Final = "tensorrt"
INSTALL: Final = "pip install 'ocrhpi[tensorrt]'"

TensorRt: TypeAlias = Any
"""The module ``tensorrt``."""

CudaDriver: TypeAlias = Any
"""The module ``pycuda.driver``."""

CudaRuntime: TypeAlias = Any
"""The module ``cuda.bindings.runtime``."""

Network: TypeAlias = Any
"""``tensorrt.INetworkDefinition``."""

Builder: TypeAlias = Any
"""``tensorrt.Builder``."""

BuilderConfig: TypeAlias = Any
"""``tensorrt.IBuilderConfig``."""

Engine: TypeAlias = Any
"""``tensorrt.ICudaEngine``."""

Stream: TypeAlias = Any
"""``pycuda.driver.Stream``."""


def version_of(trt: TensorRt) -> tuple[int, int]:
    """Return the first two numbers of TensorRT's version, such as (10, 3)."""
    major, minor = str(trt.__version__).split(".")[:2]
    return int(major), int(minor)
