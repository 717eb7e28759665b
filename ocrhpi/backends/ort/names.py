"""Names for the untyped module and objects that are passed around here, and what errors call the backend."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

NAME: Final = "onnxruntime"
INSTALL: Final = "pip install 'ocrhpi[onnxruntime]'"
INSTALL_GPU: Final = "pip install 'ocrhpi[onnxruntime-gpu]'"
INSTALL_RTX: Final = "pip install 'ocrhpi[tensorrt-rtx]'"

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"

OnnxRuntime: TypeAlias = Any
"""The module ``onnxruntime``."""

Session: TypeAlias = Any
"""``onnxruntime.InferenceSession``."""

SessionOptions: TypeAlias = Any
"""``onnxruntime.SessionOptions``."""

RunOptions: TypeAlias = Any
"""``onnxruntime.RunOptions``."""

Binding: TypeAlias = Any
"""``onnxruntime.IOBinding``."""

OrtValue: TypeAlias = Any
"""``onnxruntime.OrtValue``."""
