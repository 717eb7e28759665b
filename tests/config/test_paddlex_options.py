"""PaddleX's spellings, as they arrive at our backends."""

from __future__ import annotations

from typing import Any

import pytest

from ocrhpi.backends.openvino_ import OpenVinoOptions
from ocrhpi.backends.ort.options import OnnxRuntimeOptions
from ocrhpi.backends.paddle_ import PaddleOptions
from ocrhpi.config.paddlex_options import backend_options, engine_options, paddle_options
from ocrhpi.errors import OptionError
from ocrhpi.options import Options, parse_options

OPTIONS: dict[str, type[Options]] = {
    "paddle": PaddleOptions,
    "openvino": OpenVinoOptions,
    "onnxruntime": OnnxRuntimeOptions,
}


@pytest.mark.parametrize(
    ("backend", "given", "ours"),
    [
        ("paddle", {}, {}),
        ("paddle", {"run_mode": "paddle"}, {"onednn": False}),
        ("paddle", {"run_mode": "paddle_fp32"}, {"onednn": False}),
        ("paddle", {"run_mode": "mkldnn", "mkldnn_cache_capacity": 5}, {"onednn": "auto", "onednn_cache_capacity": 5}),
        ("paddle", {"cpu_threads": 3, "enable_new_ir": False}, {"threads": 3, "new_ir": False}),
        ("paddle", {"onednn": True, "threads": 3}, {"onednn": True, "threads": 3}),
        ("paddle", {"run_mode": "paddle", "threads": 3}, {"onednn": False, "threads": 3}),
        ("paddle", {"enable_cinn": False, "trt_use_static": False, "delete_pass": []}, {}),
        ("openvino", {"cpu_num_threads": 4, "hint": "throughput"}, {"threads": 4, "hint": "throughput"}),
        ("onnxruntime", {"cpu_num_threads": 4}, {"threads": 4}),
        ("onnxruntime", {"threads": 4, "arena": False}, {"threads": 4, "arena": False}),
    ],
)
def test_translated_options_are_those_of_the_backend(backend: str, given: dict[str, Any], ours: dict[str, Any]) -> None:
    assert backend_options(backend, given) == ours
    parse_options(OPTIONS[backend], ours)


def test_options_of_other_backends_pass() -> None:
    given = {"precision": "fp16", "dynamic_shapes": {"x": [[1, 3, 48, 160]]}}
    assert backend_options("tensorrt", given) == given
    assert backend_options("of_a_third_party", {"cpu_num_threads": 1}) == {"cpu_num_threads": 1}


@pytest.mark.parametrize(
    ("backend", "given", "name", "message"),
    [
        ("paddle", {"run_mode": "trt_fp16"}, "run_mode", "'paddle' runs paddle, paddle_fp32, mkldnn: FP32.*openvino"),
        ("paddle", {"run_mode": "mkldnn_bf16"}, "run_mode", "lower precision"),
        ("paddle", {"run_mode": "mkl_dnn"}, "run_mode", "Did you mean 'mkldnn'"),
        ("paddle", {"run_mode": 1}, "run_mode", "received 1"),
        ("paddle", {"cpu_threads": 0}, "cpu_threads", "greater than or equal to 1"),
        ("paddle", {"enable_cinn": True}, "enable_cinn", "without TensorRT and CINN.*Leave it out"),
        ("paddle", {"trt_max_batch_size": 8}, "trt_max_batch_size", "received 8"),
        ("paddle", {"cpu_threads": 2, "threads": 2}, "cpu_threads", "together with 'threads'"),
        ("paddle", {"run_mode": "mkldnn", "onednn": True}, "run_mode", "together with 'onednn'"),
        ("openvino", {"threads": 2, "cpu_num_threads": 2}, "cpu_num_threads", "the same option"),
    ],
)
def test_options_without_a_counterpart(backend: str, given: dict[str, Any], name: str, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        backend_options(backend, given)
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("config", "keywords", "ours"),
    [
        (None, {}, {"onednn": "auto"}),
        ({}, {"enable_mkldnn": True}, {"onednn": "auto"}),
        ({}, {"enable_mkldnn": False, "cpu_threads": 2}, {"onednn": False, "threads": 2}),
        (
            {"paddle_static": {"cpu_threads": 3, "run_mode": "mkldnn"}},
            {"enable_mkldnn": False, "cpu_threads": 2, "mkldnn_cache_capacity": 7},
            {"onednn": "auto", "threads": 3, "onednn_cache_capacity": 7},
        ),
        ({"enable_new_executor": False}, {}, {"onednn": "auto", "new_executor": False}),
    ],
)
def test_configuration_of_the_engine_wins_over_keywords(
    config: dict[str, Any] | None, keywords: dict[str, Any], ours: dict[str, Any]
) -> None:
    assert paddle_options(config, **keywords) == ours


def test_other_engines_take_their_own_options() -> None:
    assert engine_options("openvino", {"openvino": {"hint": "latency"}}, 2) == {"threads": 2, "hint": "latency"}
    assert engine_options("openvino", {"threads": 3}, 2) == {"threads": 3}
    assert engine_options("openvino", None, None) == {}
    with pytest.raises(OptionError, match=r"engine_config\.openvino.*expected a mapping"):
        engine_options("openvino", {"openvino": 3}, None)
