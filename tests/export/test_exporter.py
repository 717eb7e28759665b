"""Export on real models and on small ones of all six families: verified forms, cache, refusals."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from ocrhpi.backends.registry import create_backend
from ocrhpi.errors import BackendUnavailable, ExportError, ModelNotFound
from ocrhpi.export import convert, exporter
from ocrhpi.export.exporter import GraphForm, export_model, write_export
from ocrhpi.export.fp16 import to_half
from ocrhpi.export.heads import HEADS
from ocrhpi.export.passes import GraphEditor
from ocrhpi.model import ModelFiles, load_model
from ocrhpi.model.graph_facts import read_onnx_metadata
from tests.conftest import needs_paddle2onnx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocrhpi.model import Model

HALF_PIXELS = GraphForm("argmax", masked=True, precision="fp16", pixels=True)
REAL_FORMS = {
    "v4_mobile_dir": [
        *(GraphForm(head, masked) for head, masked in zip(HEADS, (True, False, True, False), strict=True)),
        *(HALF_PIXELS, GraphForm(pixels=True)),
    ],
    "v5_mobile_dir": [GraphForm(masked=True), GraphForm("argmax")],
    "v6_small_dir": [GraphForm(masked=True), GraphForm("argmax"), GraphForm("logits", precision="fp16")],
}
BATCH = np.random.default_rng(0).uniform(-1, 1, (2, 3, 48, 320)).astype(np.float32)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def operators(exported: Model) -> Counter[str]:
    assert exported.files.onnx is not None
    return Counter(node.op_type for node in onnx.load(exported.files.onnx).graph.node)


@needs_paddle2onnx
def test_every_family_exports_plain_and_masked(small_model: Model, exports_dir: Path) -> None:
    """export_model verifies against Paddle: every form that it returns reads the same on real lines."""
    for form in (GraphForm(), GraphForm(masked=True), GraphForm("topk", masked=True), HALF_PIXELS):
        exported = export_model(small_model, form, cache_dir=exports_dir)
        assert exported.files.onnx is not None
        assert exported.files.onnx.is_file()
        assert exported.fingerprint == small_model.fingerprint, "an export does not make it another model"
    plain, masked = (
        operators(export_model(small_model, GraphForm(masked=masked), cache_dir=exports_dir))
        for masked in (False, True)
    )
    assert not {"ConstantOfShape", "Expand", "Range", "Shape", "Tile"} & set(masked - plain), "shapes from values"
    assert (masked - plain)["CumSum"] == 1


@pytest.mark.slow
@needs_paddle2onnx
@pytest.mark.parametrize("source", REAL_FORMS)
def test_real_models_in_several_forms(source: str, request: pytest.FixtureRequest, exports_dir: Path) -> None:
    model = load_model(request.getfixturevalue(source))
    files = {export_model(model, form, cache_dir=exports_dir).files.onnx for form in REAL_FORMS[source]}
    assert len(files) == len(REAL_FORMS[source])


@needs_paddle2onnx
def test_metadata_makes_the_file_stand_alone(v4_mobile: Model, exports_dir: Path) -> None:
    exported = export_model(v4_mobile, cache_dir=exports_dir).files.onnx
    assert exported is not None
    alone = load_model(exported)
    assert alone.labels == v4_mobile.labels
    assert alone.name == v4_mobile.name
    assert read_onnx_metadata(exported)["source_sha256"] == v4_mobile.fingerprint


@needs_paddle2onnx
def test_a_cached_export_is_used_and_needs_no_package(
    v4_mobile: Model, exports_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = export_model(v4_mobile, cache_dir=exports_dir).files.onnx
    assert first is not None
    written = first.stat().st_mtime_ns
    monkeypatch.setitem(sys.modules, "onnxslim", None)
    monkeypatch.setitem(sys.modules, "paddle2onnx", None)
    again = export_model(v4_mobile, cache_dir=exports_dir).files.onnx
    assert again == first
    assert again.stat().st_mtime_ns == written


@needs_paddle2onnx
def test_another_model_has_another_place(tiny_dir: Path, tmp_path: Path) -> None:
    model = load_model(tiny_dir)
    other = replace(model, vocabulary=tuple(reversed(model.vocabulary)))
    places = {export_model(one, cache_dir=tmp_path).files.onnx for one in (model, other)}
    assert len(places) == 2


@needs_paddle2onnx
def test_the_model_directory_is_never_written_to(tiny_dir: Path, tmp_path: Path) -> None:
    directory = tmp_path / "read_only"
    shutil.copytree(tiny_dir, directory)
    before = names(directory)
    directory.chmod(0o555)
    export_model(load_model(directory), cache_dir=tmp_path / "cache")
    assert names(directory) == before
    directory.chmod(0o755)


@needs_paddle2onnx
def test_write_export_makes_a_directory_that_runs_without_paddle(
    v4_mobile: Model, exports_dir: Path, tmp_path: Path
) -> None:
    exported = write_export(v4_mobile, GraphForm("argmax"), tmp_path / "out", cache_dir=exports_dir)
    assert names(tmp_path / "out") == ["inference.onnx", "inference.yml"]
    assert exported.files.paddle_graph is None
    assert exported.labels == v4_mobile.labels
    with (
        create_backend("onnxruntime", exported, "cpu") as backend,
        create_backend("paddle", v4_mobile, "cpu") as paddle,
    ):
        np.testing.assert_array_equal(backend.run(BATCH).indices, paddle.run(BATCH).indices)


@needs_paddle2onnx
def test_a_mask_without_effect_is_caught_by_the_verification(
    v4_mobile: Model, exports_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verification must be able to fail: a "masked" graph in which padding has its effect is not kept."""
    from ocrhpi.export import masking

    shutil.copytree(exports_dir, tmp_path / "cache")
    for file in (tmp_path / "cache").rglob("*-masked.onnx"):
        file.unlink()
    monkeypatch.setattr(masking._Masker, "_masked", lambda _self, tensor, _mask, _border: tensor)
    with pytest.raises(ExportError, match=r"verification: .* differs from its source in \d+ of \d+ time steps"):
        export_model(v4_mobile, GraphForm(masked=True), cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*-masked.onnx*"))


def overflowing(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A half graph whose FP32 source multiplies by 1e8 and divides by it again, which is nothing in FP32."""
    editor = GraphEditor(graph, "huge")
    first = next(node for node in graph.graph.node if node.op_type == "Conv")
    result, first.output[0] = first.output[0], "huge.0"
    for number, factor in enumerate((1e4, 1e4, 1e-4, 1e-4)):
        constant = editor.constant(np.array(factor, np.float32))
        editor.node("Mul", [f"huge.{number}", constant], result if number == 3 else f"huge.{number + 1}")
    editor.finish()
    return to_half(graph)


def damaged(graph: onnx.ModelProto) -> onnx.ModelProto:
    half = to_half(graph)
    weights = next(item for item in half.graph.initializer if len(item.dims) == 4)
    weights.raw_data = onnx.numpy_helper.to_array(weights)[::-1].tobytes()
    return half


@needs_paddle2onnx
@pytest.mark.parametrize(("fault", "problem"), [(overflowing, "no numbers"), (damaged, r"in [1-9]\d* of \d+")])
def test_a_half_graph_that_reads_something_else_is_not_kept(
    fault: Callable[[onnx.ModelProto], onnx.ModelProto],
    problem: str,
    tiny_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporter, "to_half", fault)
    with pytest.raises(ExportError, match=f"verification: .*{problem}"):
        export_model(load_model(tiny_dir), GraphForm("argmax", precision="fp16"), cache_dir=tmp_path)
    assert [file.name for file in tmp_path.rglob("*.*") if "onnx" in file.name] == ["full.onnx"]


@needs_paddle2onnx
def test_the_precision_of_a_half_graph_is_in_its_metadata(v4_mobile: Model, exports_dir: Path) -> None:
    for form, precision in ((HALF_PIXELS, "fp16"), (GraphForm(pixels=True), None)):
        exported = export_model(v4_mobile, form, cache_dir=exports_dir).files.onnx
        assert exported is not None
        assert read_onnx_metadata(exported).get("precision") == precision


def test_every_form_has_a_name_of_its_own() -> None:
    forms = [
        GraphForm(head, masked, precision, pixels)
        for head in HEADS
        for masked in (False, True)
        for precision in exporter.PRECISIONS
        for pixels in (False, True)
    ]
    assert len({form.file_name for form in forms}) == len(forms)
    assert GraphForm().file_name == "full.onnx"
    assert HALF_PIXELS.file_name == "argmax-masked-fp16-pixels.onnx"


@needs_paddle2onnx
def test_converter_errors_are_told_and_leave_nothing(tiny_dir: Path, tmp_path: Path) -> None:
    directory = tmp_path / "damaged"
    shutil.copytree(tiny_dir, directory)
    (directory / "inference.json").write_text("{}")
    with pytest.raises(ExportError, match=r"damaged: conversion: paddle2onnx failed: .+"):
        export_model(load_model(directory), cache_dir=tmp_path / "cache")
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.suffix in {".onnx", ".tmp"}]


@needs_paddle2onnx
def test_a_converter_that_dies_is_told(tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "_CHILD", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(ExportError, match="its process ended with signal 11"):
        export_model(load_model(tiny_dir), cache_dir=tmp_path)


def test_missing_packages_are_a_sentence_with_the_install_line(
    tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(tiny_dir)
    monkeypatch.setitem(sys.modules, "paddle2onnx", None)
    with pytest.raises(BackendUnavailable, match=r"paddle2onnx.*pip install 'ocrhpi\[convert\]'"):
        export_model(model, cache_dir=tmp_path)
    monkeypatch.setitem(sys.modules, "onnxslim", None)
    with pytest.raises(BackendUnavailable, match="onnxslim"):
        export_model(model, cache_dir=tmp_path)


def test_a_model_with_both_forms_is_exported_from_onnx_where_paddle2onnx_is_missing(
    v6_small_dir: Path, tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "paddle2onnx", None)
    onnx_model = load_model(v6_small_dir)
    paddle_files = load_model(tiny_dir).files
    both = replace(onnx_model, files=replace(paddle_files, onnx=onnx_model.files.onnx))
    exported = export_model(both, cache_dir=tmp_path).files.onnx
    assert exported is not None
    assert onnx.load(exported, load_external_data=False).graph.output[0].name == "probabilities"


def test_onnx_that_is_no_recognizer_is_refused(v6_small_dir: Path, tmp_path: Path) -> None:
    model = load_model(v6_small_dir)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x08 no graph at all")
    with pytest.raises(ExportError, match="not an ONNX file"):
        export_model(replace(model, files=ModelFiles(onnx=broken)), cache_dir=tmp_path / "cache")
    with pytest.raises(ModelNotFound):
        convert.convert_paddle(model, tmp_path / "out.onnx")
