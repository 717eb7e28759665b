"""Ranges and means of layers, and the file they are kept in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from ocrhpi.errors import OptionError
from ocrhpi.quantization.statistics import (
    least_error_range,
    line_tensors,
    measure_layers,
    read_statistics,
    statistics_digest,
    write_statistics,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.quantization.statistics import LayerStatistics
    from ocrhpi.values import Pixels


@pytest.fixture(scope="module")
def measured(tiny: Model, noise: list[Pixels]) -> dict[str, LayerStatistics]:
    assert tiny.files.onnx is not None
    return measure_layers(onnx.load(tiny.files.onnx), ["conv1", "conv2"], line_tensors(noise, tiny.spec))


def test_lines_of_equal_width_share_a_batch(tiny: Model, noise: list[Pixels]) -> None:
    shapes = sorted(tensor.shape for tensor in line_tensors(noise, tiny.spec))
    assert {shape[3] for shape in shapes} == {320, 400}
    assert sum(shape[0] for shape in shapes) == len(noise)
    assert len(shapes) < len(noise)


def test_inputs_and_outputs_of_layers(measured: dict[str, LayerStatistics]) -> None:
    first, second = measured["conv1"], measured["conv2"]
    assert first.channels.shape == (3, 3)
    assert second.channels.shape == (3, 8)
    least, largest, mean = second.channels
    assert (least == 0).all()  # it follows a ReLU
    assert (mean < largest).all()
    assert (mean > 0).all()
    assert second.input[0] == 0
    assert 0 < second.input[1] <= largest.max()
    assert first.output[0] < 0 < first.output[1]


def test_a_rare_value_far_away_is_clipped() -> None:
    counts = np.zeros(2048)
    counts[1024:1434] = 1e6  # 0 to 0.4
    counts[-1] = 1
    low, high = least_error_range(counts, -1.0, 1.0)
    assert low > -1
    assert 0.39 < high < 0.7


def test_an_even_range_is_kept_whole() -> None:
    assert least_error_range(np.full(2048, 1e3), 0.0, 2.0) == (0.0, 2.0)


def test_the_file_gives_back_what_was_written(measured: dict[str, LayerStatistics], tmp_path: Path) -> None:
    write_statistics(measured, tmp_path / "new" / "int8.npz")
    read = read_statistics(tmp_path / "new" / "int8.npz")
    assert list(read) == list(measured)
    assert statistics_digest(read) == statistics_digest(measured)
    np.testing.assert_array_equal(read["conv2"].channels, measured["conv2"].channels)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["int8.npz"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "int8.npz").write_bytes(b"PK")
    with pytest.raises(OptionError, match=r"int8\.npz holds no statistics of layers .* 'ocrhpi lower'"):
        read_statistics(tmp_path / "int8.npz")
