from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ocrhpi.config.hpi_config import HpiConfig
from ocrhpi.config.reading_options import ReadingOptions, reading_options
from ocrhpi.errors import OptionError
from ocrhpi.loader import batch_size_of

if TYPE_CHECKING:
    from pathlib import Path


def test_a_model_is_needed_and_a_configuration_may_name_it() -> None:
    with pytest.raises(OptionError, match="neither model_name nor model_dir"):
        reading_options()
    assert reading_options(hpi_config={"model_name": "x"}).model_name == "x"


def test_a_file_is_read_where_the_options_are_made(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text("objective: latency\ncalibration_dir: lines\n", "utf-8")
    options = reading_options("x", hpi_config=file)
    file.unlink()
    assert options.hpi_config.objective == "latency"
    assert options.hpi_config.calibration_dir == tmp_path / "lines"


def test_options_survive_json(tmp_path: Path) -> None:
    config = {"cache_dir": str(tmp_path), "accuracy": "cer<=2%", "max_latency_ms": 5}
    facts = {"rec_image_shape": "3, 32, 100", "character_dict_path": tmp_path / "d.txt", "right_to_left": False}
    options = reading_options("x", tmp_path, hpi_config=config, threads=3, device="gpu:1", batch_size=4, **facts)
    assert options.rec_image_shape == (3, 32, 100)
    assert reading_options(**json.loads(json.dumps(options.plain()))) == options
    tuned = reading_options("x", hpi_config={"tuned": tmp_path / "t.yml"}).without_measuring_anew()
    assert reading_options(**json.loads(json.dumps(tuned.plain()))) == tuned


def test_threads_are_those_of_the_engine_unless_the_configuration_says_other() -> None:
    assert reading_options("x", threads=3).config.cpu_threads == 3
    assert reading_options("x").config.cpu_threads is None
    assert reading_options("x", hpi_config={"cpu_threads": 2}, threads=3).config.cpu_threads == 2
    assert reading_options("x", hpi_config={"tuned": "t.yml"}, threads=3).config.cpu_threads is None
    with pytest.raises(OptionError, match="threads"):
        reading_options("x", threads=0)


@pytest.mark.parametrize(
    ("given", "measured", "batch_size"),
    [
        ({}, True, None),
        ({"tune": "always"}, True, None),
        ({"tune": "never"}, False, None),
        ({"tuned": "t.yml"}, False, None),
        ({"auto_config": False, "backend": "openvino"}, False, 8),
    ],
)
def test_who_measures_and_who_chooses_the_batch_size(
    given: dict[str, object], measured: bool, batch_size: int | None
) -> None:
    options = reading_options("x", hpi_config=given)
    assert options.is_measured is measured
    assert batch_size_of(options) == batch_size
    assert batch_size_of(reading_options("x", hpi_config=given, batch_size=3)) == 3
    normal = reading_options("x", use_hpip=False)
    assert not normal.is_measured
    assert batch_size_of(normal) == 8


def test_those_who_come_after_do_not_measure_again() -> None:
    always = reading_options("x", hpi_config={"tune": "always", "budget_s": 5.0})
    assert always.without_measuring_anew().hpi_config == HpiConfig(budget_s=5.0, tune="auto")
    never = reading_options("x", hpi_config={"tune": "never"})
    assert never.without_measuring_anew() is never


def test_arguments_as_numpy_and_the_shell_give_them(tmp_path: Path) -> None:
    options = reading_options(
        model_dir=tmp_path,
        hpi_config={"cpu_threads": np.int64(2), "cache_dir": tmp_path, "max_latency_ms": np.float32(5)},
        use_hpip=np.bool_(0),
        device="GPU:0",
        threads=np.int64(3),
        batch_size=np.int32(4),
        character_dict_path=tmp_path / "dict.txt",
        rec_image_shape=[np.int64(3), 32, np.int64(100)],
        input_shape=np.array([3, 48, 320]),
    )
    assert options == reading_options(
        model_dir=str(tmp_path),
        hpi_config={"cpu_threads": 2, "cache_dir": str(tmp_path), "max_latency_ms": 5.0},
        use_hpip=False,
        device="gpu:0",
        threads=3,
        batch_size=4,
        character_dict_path=str(tmp_path / "dict.txt"),
        rec_image_shape=(3, 32, 100),
        input_shape=(3, 48, 320),
    )
    assert json.loads(json.dumps(options.plain()))["device"] == "gpu:0"


@pytest.mark.parametrize("shape", [(3, np.int64(48), 320), [3, 48, 320], np.array([3, 48, 320], np.uint16), "3,48,320"])
def test_shapes_in_any_form(shape: object) -> None:
    assert reading_options("x", input_shape=shape).input_shape == (3, 48, 320)
    assert reading_options("x", rec_image_shape=shape).rec_image_shape == (3, 48, 320)


@pytest.mark.parametrize(
    "shape", [np.array([3.0, 48.5, 320.0]), np.array([[3, 48, 320]]), [True, 48, 320], np.array(3)]
)
def test_shapes_that_do_not_fit(shape: object) -> None:
    with pytest.raises(OptionError, match="input_shape"):
        reading_options("x", input_shape=shape)


def test_what_was_given_comes_back_from_json(tmp_path: Path) -> None:
    options = reading_options("x", hpi_config={"cache_dir": tmp_path, "calibration_dir": str(tmp_path), "budget_s": 5})
    assert ReadingOptions.model_validate_json(options.model_dump_json(exclude_unset=True)) == options
