from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi.backends import paddle_
from ocrhpi.backends.paddle_ import PaddleBackend
from ocrhpi.errors import BackendError, BackendMismatch, ModelFormatError, ModelNotFound, OptionError
from ocrhpi.machine import usable_cores
from ocrhpi.model import Model, ModelFiles, load_model
from ocrhpi.values import InputSpec

if TYPE_CHECKING:
    from pathlib import Path

BATCH = np.random.default_rng(0).uniform(-1, 1, (2, 3, 48, 320)).astype(np.float32)


@pytest.fixture(scope="module", params=["tiny_dir", "v4_mobile_dir"], ids=["inference.json", "inference.pdmodel"])
def model(request: pytest.FixtureRequest) -> Model:
    return load_model(request.getfixturevalue(request.param))


@pytest.mark.parametrize(
    "options",
    [
        {"onednn": True},
        {"onednn": False},
        {"onednn": True, "threads": 1},
        {"onednn": True, "onednn_cache_capacity": 1},
    ],
    ids=str,
)
def test_every_setting_reads_the_same(model: Model, options: dict[str, Any]) -> None:
    with PaddleBackend(model, "cpu") as default, PaddleBackend(model, "cpu", options) as backend:
        expected, got = default.run(BATCH), backend.run(BATCH)
        np.testing.assert_array_equal(got.indices, expected.indices)
        np.testing.assert_allclose(got.probs, expected.probs, atol=1e-3)
        assert backend.effective.settings["onednn"] is options["onednn"]
        assert backend.effective.threads == options.get("threads", usable_cores())
        assert backend.effective.notes == ()


@pytest.mark.parametrize("onednn", [True, False])
def test_the_old_executor_reads_the_same(v4_mobile: Model, onednn: bool) -> None:
    old = {"new_ir": False, "new_executor": False, "onednn": onednn}
    with PaddleBackend(v4_mobile, "cpu") as default, PaddleBackend(v4_mobile, "cpu", old) as backend:
        np.testing.assert_array_equal(backend.run(BATCH).indices, default.run(BATCH).indices)
        assert backend.effective.settings == {"onednn": onednn, "new_ir": False, "new_executor": False}


def test_bf16_runs_or_is_refused(v4_mobile: Model) -> None:
    low = PaddleBackend(v4_mobile, "cpu", {"precision": "bf16"})
    try:
        low.open()
    except BackendMismatch as error:
        assert "computes the same as in FP32 on this CPU" in str(error)  # noqa: PT017 - either of the two is right
        return
    with closing(low), PaddleBackend(v4_mobile, "cpu") as full:
        assert (low.effective.precision, low.effective.settings["onednn"]) == ("bf16", True)
        shift = np.abs(low.run(BATCH).probs - full.run(BATCH).probs).max()
        assert 0 < shift < 0.5


def test_bf16_that_paddle_computes_in_fp32_is_a_mismatch(v4_mobile: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    make_config = PaddleBackend._config

    def ignoring_bf16(backend: PaddleBackend, *arguments: Any, onednn: bool, **_: bool) -> Any:
        return make_config(backend, *arguments, onednn=onednn, bf16=False)

    monkeypatch.setattr(PaddleBackend, "_config", ignoring_bf16)
    with pytest.raises(BackendMismatch, match="asked for precision bf16, but Paddle computes the same as in FP32"):
        PaddleBackend(v4_mobile, "cpu", {"precision": "bf16"}).open()


def test_bf16_is_never_replaced_by_plain_paddle(v4_mobile: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle_._Loaded, "infer", refusing(REFUSAL))
    with pytest.raises(BackendMismatch, match="ArrayAttribute"):
        PaddleBackend(v4_mobile, "cpu", {"precision": "bf16"}).open()


@pytest.mark.parametrize("old", [{"new_ir": False}, {"new_executor": False}], ids=str)
def test_the_old_executor_does_not_run_the_present_format(tiny_dir: Path, old: dict[str, bool]) -> None:
    with pytest.raises(BackendMismatch, match=r"inference\.json is PIR"):
        PaddleBackend(load_model(tiny_dir), "cpu", old).open()


def refusing(message: str) -> Any:
    """An ``infer`` like that of a graph which loads with oneDNN and fails at its first run."""
    infer = paddle_._Loaded.infer
    calls: list[None] = []

    def first_run_fails(loaded: paddle_._Loaded, batch: np.ndarray) -> np.ndarray:
        calls.append(None)
        if len(calls) == 1:
            raise NotImplementedError(message)
        return infer(loaded, batch)

    return first_run_fails


REFUSAL = "(Unimplemented) ConvertPirAttribute2RuntimeAttribute not support [pir::ArrayAttribute<pir::DoubleAttribute>]"


def test_auto_falls_back_to_plain_and_says_why(v4_mobile: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle_._Loaded, "infer", refusing(REFUSAL))
    with PaddleBackend(v4_mobile, "cpu") as backend:
        assert backend.effective.settings["onednn"] is False
        (note,) = backend.effective.notes
        assert "oneDNN refused" in note
        assert "ArrayAttribute" in note
        assert backend.run(BATCH).indices.shape[0] == 2


def test_onednn_asked_for_strictly_is_never_replaced(v4_mobile: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle_._Loaded, "infer", refusing(REFUSAL))
    with pytest.raises(BackendMismatch, match="ArrayAttribute"):
        PaddleBackend(v4_mobile, "cpu", {"onednn": True}).open()


def test_a_gpu_that_is_not_there_is_never_replaced_by_the_cpu(v4_mobile: Model) -> None:
    with pytest.raises(BackendMismatch, match="asked for device gpu:7, but"):
        PaddleBackend(v4_mobile, "gpu:7").open()
    with pytest.raises(BackendMismatch, match="knows 'cpu' and 'gpu'"):
        PaddleBackend(v4_mobile, "npu").open()


def test_onnx_alone_is_refused(tmp_path: Path) -> None:
    model = Model("m", tmp_path, ModelFiles(onnx=tmp_path / "inference.onnx"), InputSpec(), ("a",))
    with pytest.raises(ModelNotFound, match="does not run ONNX"):
        PaddleBackend(model, "cpu").open()


@pytest.mark.parametrize(
    ("damaged", "error", "problem"),
    [
        ("inference.pdmodel", BackendError, "could not load {directory}"),
        ("inference.pdiparams", ModelFormatError, r"{directory}/inference\.pdiparams: .* shorter than its headers say"),
    ],
)
def test_truncated_files_are_an_error_that_names_the_model(
    v4_mobile_dir: Path, tmp_path: Path, damaged: str, error: type[Exception], problem: str
) -> None:
    directory = tmp_path / "model"
    shutil.copytree(v4_mobile_dir, directory)
    content = (directory / damaged).read_bytes()
    (directory / damaged).write_bytes(content[: len(content) // 2])
    with pytest.raises(error, match=problem.format(directory=directory)):
        PaddleBackend(load_model(directory), "cpu", {"onednn": False}).open()


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"version https://git-lfs.github.com/spec/v1", b""])
def test_a_program_that_never_was_one_is_refused_before_it_crashes_paddle(
    v4_mobile_dir: Path, tmp_path: Path, content: bytes
) -> None:
    directory = tmp_path / "model"
    shutil.copytree(v4_mobile_dir, directory)
    (directory / "inference.pdmodel").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"inference\.pdmodel: program: not a Paddle program"):
        PaddleBackend(load_model(directory), "cpu").open()


@pytest.mark.parametrize(
    "options", [{"threads": 0}, {"threads": "2"}, {"onednn": "maybe"}, {"onednn_cache_capacity": 0}]
)
def test_options_that_do_not_fit(v4_mobile: Model, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        PaddleBackend(v4_mobile, "cpu", options)
