"""Candidates of a precision that needs a plan of its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocrhpi.errors import OptionError
from ocrhpi.quantization.plan import PrecisionPlan, cache_path, key_of, write_plan
from tests.tiny_onnx import tiny_onnx_model
from tests.tuning.grids import grid_of

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.tuning.candidates import Grid


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return tiny_onnx_model(tmp_path / "tiny")


def grid(model: Model, cache: Path, **asked: str) -> Grid:
    return grid_of(model, "cpu", "throughput", cache_dir=cache, **asked)  # type: ignore[arg-type]  # all text


def add_plan(model: Model, cache: Path, kept: tuple[str, ...] = ()) -> None:
    plan = PrecisionPlan(
        precision="int8", model=model.name, key=key_of(model, "openvino"), kept=kept, lines=1, layers=()
    )
    write_plan(plan, cache_path(model, "int8", cache_dir=cache))


def test_without_plans_each_precision_is_one_row_that_says_how_to_make_one(model: Model, tmp_path: Path) -> None:
    rows = [row for row in grid(model, tmp_path).left_out if "plan" in row.reason]
    assert {(row.candidate.name.partition(",")[0], row.candidate.precision) for row in rows} == {
        *(("openvino", precision) for precision in ("bf16-selective", "int8", "int8-selective")),
        *(("onnxruntime", precision) for precision in ("int8", "int8-selective")),
    }
    assert {row.outcome for row in rows} == {"skipped"}
    assert all(f"ocrhpi lower {model.path} --precision {row.candidate.precision}" in row.reason for row in rows)


def test_with_a_plan_both_engines_try_it(model: Model, tmp_path: Path) -> None:
    add_plan(model, tmp_path)
    found = grid(model, tmp_path)
    assert {one.backend for one in found.candidates if one.precision == "int8"} == {"openvino", "onnxruntime"}
    assert not [row for row in found.left_out if row.candidate.precision == "int8"]
    assert set(found.plans) == {"int8"}


def test_another_plan_is_another_question(model: Model, tmp_path: Path) -> None:
    add_plan(model, tmp_path)
    before = grid(model, tmp_path).digest
    add_plan(model, tmp_path, kept=("conv1",))
    assert grid(model, tmp_path).digest != before


def test_a_precision_asked_for_without_a_plan(model: Model, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"nothing that can run here has 'int8' .*ocrhpi lower"):
        grid(model, tmp_path, precision="int8")
