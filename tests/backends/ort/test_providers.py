"""Our options in the names of ONNX Runtime's providers; the names are compared with those that the providers have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ocrhpi.backends.ort.options import (
    GraphInputs,
    OnnxRuntimeOptions,
    cuda_options,
    profiles_of,
    rtx_options,
    run_entries,
)
from ocrhpi.options import parse_options

# Read from the provider libraries of onnxruntime-gpu 1.31.1, and from tensorrt_rtx_provider_options.h in
# onnxruntime-ep-nv-tensorrt-rtx-cu13 0.5.0, whose plugin refuses other names.
CUDA_NAMES = {
    *("device_id", "use_tf32", "cudnn_conv_algo_search", "cudnn_conv_use_max_workspace", "arena_extend_strategy"),
    *("prefer_nhwc", "enable_cuda_graph", "gpu_mem_limit"),
}
RTX_NAMES = {
    *("enable_cuda_graph", "nv_multi_profile_enable", "nv_runtime_cache_path"),
    *("nv_profile_min_shapes", "nv_profile_opt_shapes", "nv_profile_max_shapes"),
}
RTX_RUN_NAMES = {"nv_profile_index", "cuda_graph_annotation_id"}

INPUTS = GraphInputs(("x", "widths"), pixels=False, height=48)
SHAPES = [[4, 320], [2, 640]]
CACHE = Path("cache")


def options(**given: Any) -> OnnxRuntimeOptions:
    return parse_options(OnnxRuntimeOptions, given)


def test_cuda_runs_fp32_that_is_fp32_on_the_gpu_asked_for() -> None:
    made = cuda_options(options(), 1)
    assert made == {
        "device_id": "1",
        "use_tf32": "0",
        "cudnn_conv_algo_search": "HEURISTIC",
        "cudnn_conv_use_max_workspace": "1",
        "arena_extend_strategy": "kNextPowerOfTwo",
    }


def test_every_option_reaches_cuda() -> None:
    asked = options(
        conv_search="exhaustive",
        conv_workspace=False,
        nhwc=True,
        gpu_memory_mib=512,
        gpu_arena_growth="as_requested",
        cuda_graphs=True,
    )
    made = cuda_options(asked, 0)
    assert made.keys() == CUDA_NAMES
    assert made["cudnn_conv_algo_search"] == "EXHAUSTIVE"
    assert made["cudnn_conv_use_max_workspace"] == "0"
    assert made["gpu_mem_limit"] == str(512 * 2**20)
    assert made["arena_extend_strategy"] == "kSameAsRequested"
    assert cuda_options(options(conv_search="default"), 0)["cudnn_conv_algo_search"] == "DEFAULT"


def test_tensorrt_for_rtx_builds_a_profile_for_each_width() -> None:
    made = rtx_options(options(shapes=SHAPES, cuda_graphs=True), INPUTS, CACHE)
    assert made.keys() == RTX_NAMES
    assert made["nv_profile_min_shapes"] == "x:1x3x48x320,widths:1,x:1x3x48x640,widths:1"
    assert made["nv_profile_max_shapes"] == "x:4x3x48x320,widths:4,x:2x3x48x640,widths:2"
    assert made["nv_profile_opt_shapes"] == made["nv_profile_max_shapes"]
    assert made["nv_multi_profile_enable"] == "1"
    assert "nv_multi_profile_enable" not in rtx_options(options(shapes=SHAPES[:1]), INPUTS, CACHE)


def test_without_shapes_tensorrt_for_rtx_builds_for_any() -> None:
    assert rtx_options(options(), INPUTS, CACHE) == {"nv_runtime_cache_path": "cache", "enable_cuda_graph": "0"}
    assert profiles_of("tensorrt-rtx", []) == []
    assert profiles_of("cuda", [(4, 320)]) == []


@pytest.mark.parametrize(
    ("provider", "graphs", "graph", "profile", "entries"),
    [
        ("cuda", False, None, None, {}),
        ("cuda", True, 3, None, {"gpu_graph_id": "3"}),
        ("cuda", True, None, None, {"gpu_graph_id": "-1"}),
        ("tensorrt-rtx", False, None, 2, {"nv_profile_index": "2"}),
        ("tensorrt-rtx", True, 5, 0, {"nv_profile_index": "0", "cuda_graph_annotation_id": "5"}),
    ],
)
def test_settings_of_a_run(
    provider: Any, graphs: bool, graph: int | None, profile: int | None, entries: dict[str, str]
) -> None:
    made = run_entries(provider, graphs=graphs, graph=graph, profile=profile)
    assert made == entries
    if provider == "tensorrt-rtx":
        assert made.keys() <= RTX_RUN_NAMES
