"""Which options go together, and which contradict each other or the device."""

from __future__ import annotations

from typing import Any

import pytest

from ocrhpi.backends.device import parse_device
from ocrhpi.backends.ort.options import OnnxRuntimeOptions, check_together
from ocrhpi.errors import OptionError
from ocrhpi.options import parse_options

SHAPES = [[4, 320]]


@pytest.mark.parametrize(
    ("given", "device", "problem"),
    [
        ({"provider": "cuda"}, "cpu", "received 'cuda' on device cpu; expected 'cpu', or 'auto'"),
        ({"provider": "cpu"}, "gpu:1", "on device gpu:1; expected one of cuda, tensorrt-rtx, or 'auto'"),
        ({"cuda_graphs": True}, "gpu", "no shapes are fixed"),
        ({"cuda_graphs": True, "shapes": SHAPES, "requests": 2}, "gpu", "requests take turns"),
        ({"cuda_graphs": True, "shapes": SHAPES}, "cpu", "they are a GPU's"),
        ({"cuda_graphs": True, "shapes": SHAPES, "provider": "cpu"}, None, "they are a GPU's"),
        ({"pinned": True}, "gpu", "without cuda_graphs"),
    ],
)
def test_contradictions_are_refused(given: dict[str, Any], device: str | None, problem: str) -> None:
    options = parse_options(OnnxRuntimeOptions, given)
    with pytest.raises(OptionError) as error:
        check_together(options, None if device is None else parse_device(device))
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("given", "device"),
    [
        ({}, None),
        ({"provider": "cuda"}, None),
        ({"provider": "tensorrt-rtx"}, "gpu:1"),
        ({"cuda_graphs": True, "shapes": SHAPES, "pinned": True}, "gpu"),
        ({"shapes": ((4, 320), (2, 640))}, "cpu"),
    ],
    ids=str,
)
def test_what_goes_together(given: dict[str, Any], device: str | None) -> None:
    check_together(parse_options(OnnxRuntimeOptions, given), None if device is None else parse_device(device))


def test_shapes_may_come_from_yaml_or_from_python() -> None:
    assert parse_options(OnnxRuntimeOptions, {"shapes": SHAPES}).shapes == ((4, 320),)
    with pytest.raises(OptionError, match="shapes"):
        parse_options(OnnxRuntimeOptions, {"shapes": [[0, 320]]})
