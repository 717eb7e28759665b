"""Names of models as names of files."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrhpi.catalog.models import official_models
from ocrhpi.errors import ModelNotFound, UnknownModel
from ocrhpi.loader import find_model
from ocrhpi.model import Model, ModelFiles, ModelSource, file_name
from ocrhpi.values import InputSpec

ONE_PART = re.compile(r"[A-Za-z0-9_+-]([A-Za-z0-9_.+-]{0,98}[A-Za-z0-9_+-])?")
HOSTILE = (
    *("", ".", "..", "/", "\\", "../../../escaped", r"..\..\escaped", "/etc/passwd", "C:\\x", "a/b", "a\0b", "a\nb"),
    *("x" * 101, "x" * 250, "." * 250, "\u6a21\u578b", "\u6a21" * 200, " ", "rec ", "rec.", ".rec", "~", "*", "\ud800"),
)


@pytest.mark.parametrize("name", [*official_models(), "my_rec", "a+b-c.d_1", "x" * 100])
def test_usual_names_stay(name: str) -> None:
    assert file_name(name) == name


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_others_become_one_part_of_a_path_of_at_most_a_hundred_letters(name: str) -> None:
    assert ONE_PART.fullmatch(file_name(name))
    assert file_name(name) != name


@given(st.text())
def test_so_does_any_name(name: str) -> None:
    assert ONE_PART.fullmatch(file_name(name))


def test_names_that_clean_to_the_same_stay_apart() -> None:
    alike = ("a/b", "a_b", "a:b", "a\\b", "a b", ".a_b", "a_b.", "x" * 101, "x" * 102, "\u4e00", "\u4e8c", *HOSTILE)
    assert len({file_name(name) for name in alike}) == len(set(alike))


@given(st.sets(st.text(alphabet="ab/._ ", max_size=4)))
def test_no_two_names_meet(names: set[str]) -> None:
    assert len({file_name(name) for name in names}) == len(names)


def test_what_can_be_told_of_a_name_is_kept() -> None:
    assert re.fullmatch(r"my_model_v2-[0-9a-f]{12}", file_name("my model/v2"))
    assert re.fullmatch(r"x{87}-[0-9a-f]{12}", file_name("x" * 250))
    assert re.fullmatch(r"model-[0-9a-f]{12}", file_name(".."))


def test_a_model_has_its_name_and_one_for_files(tmp_path: object) -> None:
    model = Model("../x", ModelSource(model_dir=str(tmp_path)).path, ModelFiles(), InputSpec(), ("a",))
    assert (model.name, model.file_name) == ("../x", file_name("../x"))


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "a\0b"], ids=["300", "5000", "nul"])
def test_a_name_that_no_file_can_have_is_an_unknown_name(name: str) -> None:
    with pytest.raises(UnknownModel, match="is not the name of an official"):
        find_model(ModelSource.of(name))
    with pytest.raises(ModelNotFound, match="not found; expected a model directory or an ONNX file"):
        find_model(ModelSource(model_dir=name))
