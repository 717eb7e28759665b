"""Paddle Inference on an NVIDIA GPU: FP32 that is FP32, and the TensorRT that some builds of Paddle contain.

The module ``paddle`` is untyped and passed in as an argument; `ocrhpi.backends.paddle_` imports it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ocrhpi.backends.compiled import CompiledCache
from ocrhpi.errors import BackendMismatch
from ocrhpi.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocrhpi.model import Model

Paddle: TypeAlias = Any
"""The module ``paddle``."""

Config: TypeAlias = Any
"""``paddle.inference.Config``."""

NAME = "paddle"

TENSORRT_LINES = 8
"""Most lines of a batch that Paddle's TensorRT builds for."""

_TF32_FLAGS = ("FLAGS_cublas_allow_tf32", "FLAGS_cudnn_allow_tf32")  # from 3.3 on
_SHAPES_FILE = "shapes.pbtxt"
_WORKSPACE = 1 << 30
_MIN_NODES = 3  # of a subgraph; Paddle's own default


def forbid_paddle_tf32(paddle: Paddle) -> None:
    """Turn TF32 off where this Paddle has settings for it; older ones obey the environment alone."""
    for flag in _TF32_FLAGS:
        with contextlib.suppress(ValueError):  # a flag that this version does not know
            paddle.set_flags({flag: False})


def gpu_settings(paddle: Paddle, index: int) -> dict[str, Any]:
    """Return name and compute capability of the GPU, as Paddle tells them."""
    capability = paddle.device.cuda.get_device_capability(index)
    return {
        "gpu": str(paddle.device.cuda.get_device_name(index)),
        "compute_capability": ".".join(str(part) for part in capability),
    }


def tensorrt_cache(paddle: Paddle, model: Model, index: int, precision: str) -> CompiledCache:
    """Return where TensorRT's engines of ``model`` are kept.

    Raises:
        BackendMismatch: This Paddle contains no TensorRT, or the graph is of the format that it does not take.
    """
    compiled = tuple(paddle.inference.get_trt_compile_version())
    if not any(compiled):
        found = "the installed Paddle is built without TensorRT; leave it out, or use the backend 'tensorrt'"
        raise BackendMismatch(NAME, "tensorrt=True", found)
    graph, weights = model.files.paddle_graph, model.files.paddle_parameters
    assert graph is not None  # noqa: S101 - the backend has seen to it
    assert weights is not None  # noqa: S101
    if graph.suffix == ".json":
        found = f"{graph.name} is PIR, which Paddle Inference does not give to TensorRT; use the backend 'tensorrt'"
        raise BackendMismatch(NAME, "tensorrt=True", found)
    facts = {
        "paddle": str(paddle.__version__),
        "tensorrt": ".".join(map(str, paddle.inference.get_trt_runtime_version())),
        "precision": precision,
        "lines": TENSORRT_LINES,
        **gpu_settings(paddle, index),
    }
    return CompiledCache("paddle-tensorrt", weights, facts)


def enable_tensorrt(
    paddle: Paddle, model: Model, make_config: Callable[[], Config], precision: str, folder: Path
) -> Config:
    """Return a configuration whose subgraphs run by TensorRT, for the widths and batches that lines may have.

    Args:
        paddle: The module.
        model: The model; gives heights and widths.
        make_config: Makes a configuration without TensorRT.
        precision: ``fp32`` or ``fp16``.
        folder: Where shapes and engines are kept.
    """
    inference = paddle.inference
    shapes = folder / _SHAPES_FILE
    if not shapes.is_file():
        _collect_shapes(inference, model, make_config(), shapes)
    config = make_config()
    kinds = {"fp32": inference.PrecisionType.Float32, "fp16": inference.PrecisionType.Half}
    config.enable_tensorrt_engine(
        workspace_size=_WORKSPACE,
        max_batch_size=TENSORRT_LINES,
        min_subgraph_size=_MIN_NODES,
        precision_mode=kinds[precision],
        use_static=True,
        use_calib_mode=False,
    )
    config.set_optim_cache_dir(str(folder))
    config.enable_tuned_tensorrt_dynamic_shape(str(shapes), True)  # noqa: FBT003 - Paddle's: what lies outside is built
    return config


def _collect_shapes(inference: Any, model: Model, config: Config, shapes: Path) -> None:  # noqa: ANN401
    """Run the smallest and the largest batch, while Paddle writes down the shape of every tensor between."""
    spec = model.spec
    with replacing(shapes) as temporary:
        config.collect_shape_range_info(str(temporary))
        predictor = inference.create_predictor(config)
        least, most = spec.stretch_width or spec.base_width, spec.stretch_width or spec.max_width
        for lines, width in ((1, least), (TENSORRT_LINES, least), (TENSORRT_LINES, most)):
            handle = predictor.get_input_handle(predictor.get_input_names()[0])
            handle.copy_from_cpu(np.zeros((lines, spec.channels, spec.height, width), np.float32))
            predictor.run()
        del predictor  # writes the file
