"""The options of the backend ``onnxruntime``, which of them go together, and the same in the names of the providers.

Sources: the pages of the execution providers in ONNX Runtime's documentation; for TensorRT for RTX the declarations in
``tensorrt_rtx_provider_options.h`` of NVIDIA/TensorRT-RTX-EP-ABI.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import numpy as np
from pydantic import Field

from ocrhpi.errors import OptionError
from ocrhpi.options import Options, PathText, Threads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

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


@dataclass(frozen=True)
class GraphInputs:
    """The inputs of a graph in its order: the batch, and int32 vectors with a number for each line.

    Attributes:
        names: Their names.
        pixels: Whether the batch is (N, H, W, C) uint8, else (N, C, H, W) float32.
        height: H, in pixels.
        channels: C of the images.
    """

    names: tuple[str, ...]
    pixels: bool
    height: int
    channels: int = 3

    def shapes(self, rows: int, width: int) -> list[tuple[int, ...]]:
        """Return the shape of each input for a batch of ``rows`` lines that are ``width`` pixels wide."""
        batch = (rows, self.height, width, self.channels) if self.pixels else (rows, self.channels, self.height, width)
        return [batch, *[(rows,)] * (len(self.names) - 1)]

    def sample(self, rows: int, width: int) -> list[npt.NDArray[Any]]:
        """Return a batch of empty lines of the full width."""
        batch, *vectors = self.shapes(rows, width)
        return [
            np.zeros(batch, np.uint8 if self.pixels else np.float32),
            *(np.full(shape, width, np.int32) for shape in vectors),
        ]

    def shape_of(self, batch: npt.NDArray[Any]) -> tuple[int, int]:
        """Return (rows, width) of a batch."""
        return batch.shape[0], batch.shape[2 if self.pixels else 3]


@dataclass(frozen=True)
class Profile:
    """A range of batches that one TensorRT engine takes.

    Attributes:
        least: (rows, width) of the smallest.
        best: (rows, width) of those it is quickest for.
        most: (rows, width) of the largest.
    """

    least: tuple[int, int]
    best: tuple[int, int]
    most: tuple[int, int]

    def holds(self, shape: tuple[int, int]) -> bool:
        """Whether a batch of this (rows, width) is in the range."""
        return all(low <= size <= high for low, size, high in zip(self.least, shape, self.most, strict=True))


def fixed_shapes(shapes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return (rows, width) of every batch to come, narrow ones first: rows are the powers of two up to the most.

    Args:
        shapes: (most rows, width) of each width, as in the option ``shapes``.
    """
    found = {
        (rows, width)
        for most, width in shapes
        for rows in (*(1 << power for power in range(most.bit_length() - 1)), most)
    }
    return sorted(found, key=lambda shape: (shape[1], -shape[0]))


def bucket_profiles(shapes: Sequence[tuple[int, int]]) -> list[Profile]:
    """Return a profile for each width, with any number of lines, the most being the best."""
    return [Profile((1, width), (most, width), (most, width)) for most, width in shapes]


def profile_text(inputs: GraphInputs, batches: Sequence[tuple[int, int]]) -> str:
    """Write one bound of each profile as ONNX Runtime reads them: ``x:1x3x48x320,widths:1,x:1x3x48x480,widths:1``.

    Args:
        inputs: The inputs of the graph.
        batches: (rows, width) of the bound, for each profile.
    """
    return ",".join(
        f"{name}:{'x'.join(map(str, shape))}"
        for batch in batches
        for name, shape in zip(inputs.names, inputs.shapes(*batch), strict=True)
    )


_SEARCHES = {"default": "DEFAULT", "heuristic": "HEURISTIC", "exhaustive": "EXHAUSTIVE"}
_GROWTHS = {"power_of_two": "kNextPowerOfTwo", "as_requested": "kSameAsRequested"}
_NO_GRAPH = "-1"


def cuda_options(options: OnnxRuntimeOptions, index: int) -> dict[str, str]:
    """Return the options of the CUDA provider on GPU ``index``.

    TF32, which CUDA prefers for FP32, rounds to ten bits and is not FP32: it is off.
    """
    given = {
        "device_id": str(index),
        "use_tf32": "0",
        "cudnn_conv_algo_search": _SEARCHES[options.conv_search],
        "cudnn_conv_use_max_workspace": _flag(options.conv_workspace),
        "arena_extend_strategy": _GROWTHS[options.gpu_arena_growth],
    }
    # What older versions do not know is left out where it is off.
    if options.nhwc:
        given["prefer_nhwc"] = "1"
    if options.cuda_graphs:
        given["enable_cuda_graph"] = "1"
    if options.gpu_memory_mib is not None:
        given["gpu_mem_limit"] = str(options.gpu_memory_mib << 20)
    return given


def rtx_options(options: OnnxRuntimeOptions, inputs: GraphInputs, cache: Path) -> dict[str, str]:
    """Return the options of the provider of TensorRT for RTX; compiled kernels are kept in ``cache``."""
    profiles = profiles_of("tensorrt-rtx", options.shapes)
    return {
        "nv_runtime_cache_path": str(cache),
        "enable_cuda_graph": _flag(options.cuda_graphs),
        **_profile_options("nv", inputs, profiles),
        **({"nv_multi_profile_enable": "1"} if len(profiles) > 1 else {}),
    }


def profiles_of(provider: Provider, shapes: Sequence[tuple[int, int]]) -> list[Profile]:
    """Return what the provider builds for: that of TensorRT for RTX one profile for each width.

    Args:
        provider: Which.
        shapes: As in the option ``shapes``.

    Returns:
        Profiles in the order in which the provider gets them; empty if it builds for no shapes in particular.
    """
    return bucket_profiles(shapes) if provider == "tensorrt-rtx" else []


def run_entries(provider: Provider, *, graphs: bool, graph: int | None, profile: int | None) -> dict[str, str]:
    """Return the settings of one run, as ``RunOptions.add_run_config_entry`` takes them.

    Args:
        provider: Which.
        graphs: Whether it records CUDA graphs.
        graph: Number, from 1, of the graph to record or replay; 0 is ONNX Runtime's own. None: none.
        profile: Number, from 0, of the profile to run, where there are several.
    """
    entries = {}
    if graphs:
        key = "cuda_graph_annotation_id" if provider == "tensorrt-rtx" else "gpu_graph_id"
        entries[key] = _NO_GRAPH if graph is None else str(graph)
    if profile is not None:
        entries["nv_profile_index"] = str(profile)
    return entries


def _profile_options(prefix: str, inputs: GraphInputs, profiles: Sequence[Profile]) -> dict[str, str]:
    if not profiles:
        return {}
    return {
        f"{prefix}_profile_min_shapes": profile_text(inputs, [profile.least for profile in profiles]),
        f"{prefix}_profile_opt_shapes": profile_text(inputs, [profile.best for profile in profiles]),
        f"{prefix}_profile_max_shapes": profile_text(inputs, [profile.most for profile in profiles]),
    }


def _flag(value: bool) -> str:  # noqa: FBT001 - a conversion
    return str(int(value))
