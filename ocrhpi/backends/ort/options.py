"""The options of the backend ``onnxruntime``, which of them go together, and names for its untyped objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from ocrhpi.errors import OptionError
from ocrhpi.options import Options, PathText, Threads

if TYPE_CHECKING:
    from ocrhpi.backends.device import Device

NAME: Final = "onnxruntime"
INSTALL: Final = "pip install 'ocrhpi[onnxruntime]'"
INSTALL_GPU: Final = "pip install 'ocrhpi[onnxruntime-gpu]'"
INSTALL_RTX: Final = "pip install 'ocrhpi[tensorrt-rtx]'"

CUDA: Final = "CUDAExecutionProvider"

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


Provider: TypeAlias = Literal["cpu", "cuda", "tensorrt-rtx"]
"""What runs the nodes: ONNX Runtime's own kernels on a CPU, CUDA's libraries, or TensorRT for RTX."""

GPU_PROVIDERS: tuple[Provider, ...] = ("cuda", "tensorrt-rtx")

PositiveInt = Annotated[int, Field(ge=1)]
Shape = Annotated[tuple[PositiveInt, PositiveInt], Field(strict=False)]


class OnnxRuntimeOptions(Options):
    """Options of ONNX Runtime.

    Attributes:
        provider: What runs the nodes. ``auto``: ``cpu`` on a CPU, ``cuda`` on a GPU.
        precision: What the graph's precision must be; it is made by the exporter or by `ocrhpi.quantization`, not here.
        threads: CPU threads that share the work of one operator; None takes the usable cores.
        inter_op: CPU threads that run operators side by side; above 1 the graph runs in parallel mode.
        spinning: Let threads without work wait actively: quicker, and it takes cores from everything else.
        graph_level: How far the graph is optimised.
        arena: Keep freed CPU memory for the next run.
        requests: Calls of ``run`` in flight; they share the threads.
        shapes: (lines, width in pixels) of the largest batch of each width to come, where widths are few and lines come
            in powers of two. The other options call them the fixed shapes.
        conv_search: How cuDNN's convolution is chosen for a shape seen for the first time: ``exhaustive`` tries them,
            which takes up to 600 ms for a new shape, ``heuristic`` asks cuDNN, ``default`` takes one for all.
        conv_workspace: Let convolutions take as much GPU memory as they like.
        nhwc: Prefer kernels that have the channels last.
        cuda_graphs: Record the work of each fixed shape once and replay it, which saves the launches.
        pinned: Copy inputs to the GPU by way of page-locked memory; with ``cuda_graphs`` only.
        gpu_memory_mib: Most GPU memory of the arena in MiB; None: no bound.
        gpu_arena_growth: By how much the arena grows: to the next power of two, or by as much as is asked for.
        warm_up_s: Seconds that loading may spend on running the fixed shapes, so that no request pays for choosing
            kernels and recording graphs.
        cache_dir: Where TensorRT's engines are kept, as in `ocrhpi.cache.cache_root`.
    """

    provider: Literal["auto", "cpu", "cuda", "tensorrt-rtx"] = "auto"
    precision: Literal["fp32", "fp16", "int8", "int8-selective"] = "fp32"
    threads: Threads | None = None
    inter_op: Threads = 1
    spinning: bool = True
    graph_level: Literal["all", "extended", "basic", "disabled"] = "all"
    arena: bool = True
    requests: PositiveInt = 1
    shapes: Annotated[tuple[Shape, ...], Field(strict=False)] = ()
    conv_search: Literal["default", "heuristic", "exhaustive"] = "heuristic"
    conv_workspace: bool = True
    nhwc: bool = False
    cuda_graphs: bool = False
    pinned: bool = False
    gpu_memory_mib: PositiveInt | None = None
    gpu_arena_growth: Literal["power_of_two", "as_requested"] = "power_of_two"
    warm_up_s: Annotated[float, Field(ge=0)] = 30.0
    cache_dir: PathText | None = None


def check_together(options: OnnxRuntimeOptions, device: Device | None) -> None:
    """Refuse options that contradict each other or the device.

    Raises:
        OptionError: The first contradiction.
    """
    on_gpu = options.provider in GPU_PROVIDERS
    if device is not None and options.provider != "auto" and on_gpu != (device.kind == "gpu"):
        expected = f"one of {', '.join(GPU_PROVIDERS)}" if device.kind == "gpu" else "'cpu'"
        received = f"received {options.provider!r} on device {device}"
        raise OptionError("provider", f"{received}; expected {expected}, or 'auto'")
    if options.cuda_graphs and not options.shapes:
        raise OptionError("cuda_graphs", "received true, but no shapes are fixed; give the candidate buckets")
    if options.cuda_graphs and options.requests > 1:
        problem = "a recorded graph has one set of buffers, so requests take turns; leave out one of them"
        raise OptionError("cuda_graphs", f"received true with requests={options.requests}: {problem}")
    if options.cuda_graphs and (options.provider == "cpu" or (device is not None and device.kind == "cpu")):
        raise OptionError("cuda_graphs", "received true on a CPU; they are a GPU's")
    if options.pinned and not options.cuda_graphs:
        raise OptionError("pinned", "received true without cuda_graphs, whose fixed buffers it fills")
