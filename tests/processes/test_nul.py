"""A NUL in a name or path, which no command line can hold but an API and a file can: a sentence at each entry point."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi import TextRecognition
from ocrhpi.bundle.targets import BundleOptions
from ocrhpi.bundle.write import write_bundle
from ocrhpi.cache import cache_root
from ocrhpi.catalog import fetch
from ocrhpi.config.hpi_config import read_hpi_config
from ocrhpi.edge import open_bundle
from ocrhpi.errors import OcrhpiError
from ocrhpi.evaluation.evaluate import load_dataset
from ocrhpi.export.exporter import GraphForm, write_export
from ocrhpi.quantization.plan import read_plan
from ocrhpi.report.files import read_rows
from ocrhpi.tuning.cache import read_tuning
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.model import Model

NUL = "a\0b"
LINE = np.zeros((48, 320, 3), np.uint8)
TWO_LINES = BundleOptions(target="onnxruntime-cpu", lines=2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_onnx_model(tmp_path_factory.mktemp("models") / "tiny")


def read(model: Model, *inputs: Any, **options: Any) -> list[str]:
    with TextRecognition(model_dir=model.path, device="cpu", **options) as recognition:
        return [result["rec_text"] for one in inputs for result in recognition.predict(one)]


def save(model: Model) -> None:
    with TextRecognition(model_dir=model.path, device="cpu") as recognition:
        next(iter(recognition.predict(LINE))).save_to_json(NUL)


@pytest.mark.parametrize(
    "door",
    [
        lambda _: TextRecognition(model_name=NUL),
        lambda _: TextRecognition(model_dir=NUL),
        lambda model: TextRecognition(model_dir=model.path / NUL),
        lambda model: TextRecognition(model_dir=model.path, character_dict_path=NUL),
        lambda model: TextRecognition(model_dir=model.path, engine=NUL),
        lambda model: TextRecognition(model_dir=model.path, device=NUL),
        lambda model: TextRecognition(model_dir=model.path, use_hpip=True, hpi_config=NUL),
        *(
            lambda _, key=key: read_hpi_config({key: NUL})
            for key in ("cache_dir", "calibration_dir", "backend_configs", "tuned")
        ),
        lambda model: read(model, NUL),
        save,
        lambda _: cache_root(NUL),
        lambda _: fetch("PP-OCRv4_mobile_rec", cache_dir=NUL),
        lambda _: open_bundle(NUL),
        lambda model: write_bundle(model, TWO_LINES, Path(NUL)),
        lambda model: write_bundle(model, TWO_LINES, Path(f"{NUL}.zip")),
        lambda model: write_export(model, GraphForm(), Path(NUL)),
        lambda _: load_dataset(NUL),
        lambda _: read_rows(NUL),
        lambda _: read_plan(Path(NUL)),
        lambda _: read_tuning(NUL),
    ],
)
def test_it_is_a_sentence(
    door: Callable[[Model], object], tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(OcrhpiError) as caught:
        door(tiny)
    assert str(caught.value).endswith(".")


def test_a_model_may_be_called_so(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))
    assert read(tiny, LINE, model_name=NUL, engine="onnxruntime") == read(tiny, LINE)
