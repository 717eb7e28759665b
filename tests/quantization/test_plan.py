"""The file of a plan, and when a kept plan holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocrhpi.errors import OptionError
from ocrhpi.quantization.plan import (
    LayerReport,
    PrecisionPlan,
    Step,
    cache_path,
    find_plan,
    key_of,
    read_plan,
    write_plan,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model


def plan(model: Model) -> PrecisionPlan:
    return PrecisionPlan(
        precision="bf16-selective",
        model=model.name,
        key=key_of(model, "openvino"),
        kept=("conv1",),
        lines=2,
        layers=(LayerReport(name="conv1", operator="Conv", work=0.9, shift=0.1),),
        steps=(Step(kept=1, lowered=0.1, changed=0, shift=0.01),),
    )


def test_the_file_gives_back_what_was_written(tiny: Model, tmp_path: Path) -> None:
    place = cache_path(tiny, "bf16-selective", cache_dir=tmp_path)
    write_plan(plan(tiny), place)
    assert read_plan(place) == plan(tiny)
    assert find_plan(tiny.stretched(320), "bf16-selective", cache_dir=tmp_path) == plan(tiny)
    assert [file.name for file in place.parent.iterdir()] == ["bf16-selective.yml"]


def test_the_digest_changes_with_the_graphs_alone(tiny: Model) -> None:
    one = plan(tiny)
    assert one.digest != one.model_copy(update={"kept": ()}).digest
    assert one.digest == one.model_copy(update={"lines": 7, "steps": ()}).digest


def test_a_missing_plan_says_how_to_make_it(tiny: Model, tmp_path: Path) -> None:
    hint = f"ocrhpi lower {tiny.path} --precision int8"
    with pytest.raises(OptionError, match=r"'int8' needs a plan .* there is none") as caught:
        find_plan(tiny, "int8", cache_dir=tmp_path)
    assert hint in str(caught.value)


@pytest.mark.parametrize("part", ["engine_version", "exporter", "model"])
def test_a_plan_of_other_things_is_refused(tiny: Model, tmp_path: Path, part: str) -> None:
    old = plan(tiny).model_copy(update={"key": key_of(tiny, "openvino") | {part: "other"}})
    write_plan(old, cache_path(tiny, "bf16-selective", cache_dir=tmp_path))
    with pytest.raises(OptionError, match=f"is of another {part}; make it with: ocrhpi lower"):
        find_plan(tiny, "bf16-selective", cache_dir=tmp_path)


@pytest.mark.parametrize("content", ["", "kept: 3", "{", "- 1"])
def test_a_damaged_plan_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "int8.yml").write_text(content)
    with pytest.raises(OptionError, match=r"int8\.yml is no plan of precisions"):
        read_plan(tmp_path / "int8.yml")
