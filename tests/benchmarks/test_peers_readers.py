"""Our own readers of the side-by-side benchmark, with every row that they have, on a tiny model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.peers.readers import Job, Ocrhpi, OcrhpiHighPerformance
from benchmarks.peers.systems import SYSTEMS, System
from ocrhpi.cache import CACHE_VARIABLE
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path

WIDTHS = (100, 400, 500, 320)
ROWS = [row for row in SYSTEMS if row.name.startswith("ocrhpi openvino")]
TUNED = [row for row in SYSTEMS if row.own_batch]


@pytest.fixture
def model_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tiny_onnx_model(tmp_path / "tiny").path


@pytest.fixture
def images() -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (48, width, 3), np.uint8) for width in WIDTHS]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_every_row_reads(row: System, model_dir: Path, images: list[Any]) -> None:
    pytest.importorskip("openvino")
    reader = Ocrhpi(Job("tiny_rec", str(model_dir), 2, row.options))
    texts = reader.read_all(images, 6)
    assert len(texts) == len(images)
    assert reader.effective["precision"] == "fp32" or "bf16" in row.name  # without BF16 in the CPU, FP32 runs there
    assert "ocrhpi" in reader.effective["versions"]
    if "natural" not in row.name:
        assert [reader.read_one(image) for image in images] == texts


@pytest.mark.parametrize("row", TUNED, ids=[row.name for row in TUNED])
def test_high_performance_has_its_own_batch_size(row: System, model_dir: Path, images: list[Any]) -> None:
    pytest.importorskip("onnxruntime")
    # Without tuning, which takes a minute: what runs then is normal mode.
    reader = OcrhpiHighPerformance(Job("tiny_rec", str(model_dir), 2, {**row.options, "tune": "never"}))
    texts = reader.read_all(images, 1)
    assert len(texts) == len(images)
    assert reader.read_all(images, 16) == texts
    assert [reader.read_one(image) for image in images] == texts
    assert reader.effective["precision"] == "fp32"
    assert reader.effective["threads"] == 2
