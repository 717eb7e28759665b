"""The fixed shapes to come, and the options of ONNX Runtime's GPU providers, in their own names, from ours.

Sources: the pages of the execution providers in ONNX Runtime's documentation; for TensorRT for RTX the declarations in
``tensorrt_rtx_provider_options.h`` of NVIDIA/TensorRT-RTX-EP-ABI.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ocrhpi.backends.ort.options import OnnxRuntimeOptions, Provider


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
