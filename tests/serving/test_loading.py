"""What a server opens, in both modes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocrhpi.config.reading_options import reading_options
from ocrhpi.errors import OptionError, UnknownModel
from ocrhpi.serving.options import ServingOptions, open_model
from tests.serving.fakes import write_tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path


def test_normal_mode_puts_eight_lines_into_a_batch_unless_told_otherwise(tiny_dir: Path) -> None:
    served = reading_options(model_dir=tiny_dir, use_hpip=False, device="cpu", threads=1)
    for given, settled in ((None, 8), (3, 3)):
        predictor, options = open_model(served, ServingOptions(batch_size=given))
        with predictor:
            assert (options.batch_size, predictor.effective.threads) == (settled, 1)


def test_a_forced_engine(tmp_path: Path) -> None:
    model = write_tiny_onnx_model(tmp_path / "model")
    config = {"auto_config": False, "backend": "onnxruntime", "cache_dir": str(tmp_path)}
    served = reading_options(model_dir=model, hpi_config=config, device="cpu", threads=1)
    predictor, options = open_model(served, ServingOptions())
    with predictor:
        assert (predictor.effective.backend, predictor.effective.threads) == ("onnxruntime", 1)
        assert options.batch_size == 8


def test_what_was_never_measured_runs_in_normal_mode_if_measuring_is_off(tiny_dir: Path, tmp_path: Path) -> None:
    config = {"tune": "never", "cache_dir": str(tmp_path)}
    predictor, options = open_model(
        reading_options(model_dir=tiny_dir, hpi_config=config, device="cpu"), ServingOptions()
    )
    with predictor:
        assert (predictor.effective.backend, options.batch_size) == ("paddle", None)


def test_faults_are_told_before_anything_runs() -> None:
    with pytest.raises(UnknownModel):
        open_model(reading_options("PP-OCRv4_mobil_rec"), ServingOptions())
    with pytest.raises(OptionError, match="objectiv"):
        open_model(reading_options("PP-OCRv4_mobile_rec", hpi_config={"objectiv": "latency"}), ServingOptions())
