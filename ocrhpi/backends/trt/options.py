"""Options of the backend ``tensorrt``."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from ocrhpi.backends.trt.build import HardwareCompatibility
from ocrhpi.options import Options
from ocrhpi.values import GraphPrecision

PositiveInt: TypeAlias = Annotated[int, Field(ge=1)]
Shape: TypeAlias = Annotated[tuple[PositiveInt, PositiveInt], Field(strict=False)]  # a list, where it comes from YAML


class TensorRtOptions(Options):
    """Options of TensorRT.

    Attributes:
        precision: Precision of the graph, which decides that of the arithmetic.
        shapes: (lines, width in pixels) of the largest batch of each width that will come: a profile for each, and no
            other width. Empty: profiles for ranges of widths, whose kernels fit all of a range but none of it best.
        requests: Batches that are computed at the same time, each with a stream and memory of its own.
        cuda_graphs: Launch all copies and kernels of a shape as one CUDA graph, from the third batch of that shape on;
            needs cuda-bindings.
        optimization_level: 0 (quick to build) to 5 (quick to run); None: TensorRT's default, 3.
        workspace_mib: Most GPU memory that one layer may use while it runs; None: what the GPU has.
        hardware_compatibility: ``ampere_plus``: an engine for all GPUs from Ampere on, slower than one for this GPU.
        build_seconds: Limit to building an engine, which TensorRT before 10 cannot keep; None: no limit.
    """

    precision: GraphPrecision = "fp32"
    shapes: Annotated[tuple[Shape, ...], Field(strict=False)] = ()
    requests: PositiveInt = 1
    cuda_graphs: bool = False
    optimization_level: Annotated[int, Field(ge=0, le=5)] | None = None
    workspace_mib: PositiveInt | None = None
    hardware_compatibility: HardwareCompatibility = "none"
    build_seconds: Annotated[float, Field(gt=0)] | None = 600.0
