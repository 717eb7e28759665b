"""A real detection model in Paddle's old format, which reads no text: converted, and equal on every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.pages.pictures import compose_page, make_pages
from ocrhpi.export.convert import convert_any
from ocrhpi.integrations.paddlex.graphs import GRAPH_ENGINES, open_graph
from ocrhpi.integrations.paddlex.parity import TOLERANCE, largest_difference
from ocrhpi.model import ModelFiles
from tests.conftest import needs_paddle2onnx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "PP-OCRv4_mobile_det"


def files_of(directory: Path) -> ModelFiles:
    return ModelFiles(directory / "inference.pdmodel", directory / "inference.pdiparams")


@pytest.fixture(scope="module")
def pages(lines_dir: Path) -> list[np.ndarray]:
    """Network inputs of several sizes."""
    pictures = make_pages(lines_dir, 3, 0).values()
    cut = [page[: page.shape[0] // 32 * 32, : page.shape[1] // 32 * 32] for page in pictures]
    return [((page.transpose(2, 0, 1)[None] / 255 - 0.45) / 0.225).astype(np.float32) for page in cut]


@pytest.fixture(scope="module")
def paddle(v4_detection_dir: Path) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Paddle Inference itself, without oneDNN, which refuses this graph."""
    inference = pytest.importorskip("paddle.inference")
    config = inference.Config(*map(str, files_of(v4_detection_dir).source))
    config.disable_mkldnn()
    config.disable_glog_info()
    predictor = inference.create_predictor(config)

    def run(array: np.ndarray) -> list[np.ndarray]:
        predictor.get_input_handle(predictor.get_input_names()[0]).copy_from_cpu(array)
        predictor.run()
        return [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]

    return run


@needs_paddle2onnx
def test_it_is_equal_on_every_engine(
    v4_detection_dir: Path,
    paddle: Callable[[np.ndarray], list[np.ndarray]],
    pages: list[np.ndarray],
    models_dir: Path,
) -> None:
    graph = convert_any(NAME, v4_detection_dir, files_of(v4_detection_dir), cache_dir=models_dir)
    engines = [open_graph(name, graph, 2) for name in GRAPH_ENGINES]
    for page in pages:
        reference = paddle(page)
        assert reference[0].shape == (1, 1, *page.shape[2:])
        assert reference[0].max() > 0.9  # it finds the lines
        for engine in engines:
            assert largest_difference(reference, engine.run([page])) <= TOLERANCE


@needs_paddle2onnx
def test_the_model_directory_is_left_as_it_is(v4_detection_dir: Path, models_dir: Path) -> None:
    before = sorted(file.name for file in v4_detection_dir.iterdir())
    path = convert_any(NAME, v4_detection_dir, files_of(v4_detection_dir), cache_dir=models_dir)
    assert models_dir in path.parents
    assert not list(path.parent.glob(".*.tmp"))
    assert sorted(file.name for file in v4_detection_dir.iterdir()) == before


def test_pages_hold_every_line(lines_dir: Path) -> None:
    pages = make_pages(lines_dir, 3, 5)
    assert list(pages) == ["lines_0", "lines_1", "lines_2", "rendered"]
    assert all(page.shape[1] == 1000 for page in pages.values())
    black = [np.zeros((height, width, 3), np.uint8) for height, width in ((48, 300), (10, 20), (60, 3000))]
    page = compose_page(black)
    assert (page == 0).all(axis=2).sum() == 48 * 300 + 32 * 64 + 19 * 952
